import assert from 'node:assert/strict';
import { test } from 'node:test';

const place = new URL('../../producer/api/page/static/', import.meta.url);
/** The page's modules are plain JavaScript, without types. */
const load = async (name: string) => await import(new URL(name, place).href);
const { EventLines } = await load('event-lines.js');
const { Series } = await load('surprise/series.js');
const { Passages } = await load('surprise/passages.js');
const { happeningsOf, tenuresOf } = await load('job/happenings.js');
const format = await load('format.js');

test('server-sent events are the same however their text is cut', () => {
  const text =
    'retry: 1000\n\nevent: record\nid: 7\ndata: {"a":1}\n\n: still here\n\ndata: x\r\ndata: y\r\n\r\nevent: late\n';
  const whole = [...new EventLines().push(text)];
  assert.deepEqual(whole, [
    { event: 'record', id: '7', data: '{"a":1}' },
    { event: 'message', id: null, data: 'x\ny' },
  ]);
  for (let cut = 1; cut < text.length; cut++) {
    const lines = new EventLines();
    assert.deepEqual([...lines.push(text.slice(0, cut)), ...lines.push(text.slice(cut))], whole, `cut at ${cut}`);
  }
});

test('the mean and the maximum of any stretch are those of its values', () => {
  const values = Array.from({ length: 3001 }, (_, i) => Math.fround(((i * 7919) % 1009) / 100));
  const series = new Series(1);
  for (const value of values) series.push(value);
  for (const [from, to] of [
    [0, 3001],
    [1, 2],
    [5, 64],
    [63, 2049],
    [1000, 3001],
  ] as const) {
    const part = values.slice(from, to);
    const { mean, most } = series.over(from, to);
    assert.ok(Math.abs(mean - part.reduce((a, b) => a + b) / part.length) < 1e-9);
    assert.equal(most, Math.max(...part));
  }
  assert.equal(series.over(3001, 3002), null);
  series.truncate(100);
  assert.equal(series.length, 100);
  assert.ok(Math.abs(series.mean - values.slice(0, 100).reduce((a, b) => a + b) / 100) < 1e-9);
});

test('a document of five million tokens is kept at a coarser step, with the same mean and maximum', () => {
  const series = new Series(1);
  for (let i = 0; i < 5_000_000; i++) series.push(i === 4_000_000 ? 50 : 2);
  assert.equal(series.unit, 4);
  assert.ok(series.length <= 2 ** 21);
  const all = series.over(0, series.length);
  assert.ok(Math.abs(all.mean - (2 + 48 / 5_000_000)) < 1e-6, String(all.mean));
  assert.equal(series.over(1_000_000, 1_000_001).most, 50, 'the peak is where it was');
  assert.equal(all.most, 50);
});

test('a passage is the text of the tokens that were predicted there', () => {
  const passages = new Passages();
  passages.push({ from: 0, to: 4, scored: 4, nats: 4, texts: ['b', 'c', 'd', 'e'], logprobs: [-1, -2, -3, -4] });
  passages.push({ from: 4, to: 8, scored: 3, nats: 4, texts: ['f', 'gh', 'i'], logprobs: [-5, -6, -7] });
  passages.push({ from: 8, to: 12, scored: 4, nats: 4 });
  const shown = (from: number, to: number) =>
    passages
      .tokensAt(from, to, 100)
      ?.map(({ token, text, nats, here }: { token: number; text: string; nats: number; here: boolean }) =>
        here ? `[${token}${text}${nats}]` : text,
      )
      .join('');
  assert.equal(shown(2, 3), 'b[2c2]de');
  assert.equal(shown(6, 7), 'f[6gh6]i');
  assert.equal(shown(10, 11), undefined);
});

test('a job that is taken while another worker had it was taken over; one that was handed back was not', () => {
  const at = (second: number) => `2026-01-01T00:00:0${second}.000Z`;
  const where = (second: number, epoch: number) => ({
    at: at(second),
    epoch,
    tokenOffset: 10 * second,
    outputCount: 0,
  });
  const told = happeningsOf({
    createdAt: at(0),
    marks: [
      { kind: 'taken', owner: 'a', ...where(1, 1) },
      { kind: 'released', ...where(2, 1) },
      { kind: 'taken', owner: 'b', ...where(3, 2) },
      { kind: 'taken', owner: 'c', ...where(5, 3) },
      { kind: 'ended', status: 'done', ...where(6, 3) },
    ],
  });
  assert.deepEqual(
    told.map(({ kind }: { kind: string }) => kind),
    ['submitted', 'taken', 'preempted', 'taken', 'takeover', 'ended'],
  );
  assert.deepEqual(
    tenuresOf(told).map(({ from, to, lost }: { from: number; to: number; lost: boolean }) => [to - from, lost]),
    [
      [1000, false],
      [2000, true],
      [1000, false],
    ],
  );
});

test('figures for people', () => {
  assert.deepEqual(
    [0, 65, 3700, 90_000, null].map((seconds) => format.duration(seconds)),
    ['0s', '1m 05s', '1h 01m', '1d 01h', '–'],
  );
  assert.equal(format.bytes(1536), '1.5 KiB');
  assert.equal(format.percent(0.125), '12.5%');
});
