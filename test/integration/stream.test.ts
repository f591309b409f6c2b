import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { LiveEvent, Progress } from '@longhaul/core/contracts';
import { connectRedis } from '@longhaul/core/redis';
import { LiveGap, type LiveStream, openLiveStream } from '@longhaul/core/stream';
import { startTestRedis, type TestRedis } from '../support/redis.ts';

let redis: TestRedis;
let live: LiveStream;
let jobs = 0;
let jobId = '';
const notices: string[] = [];

before(async () => {
  redis = await startTestRedis();
});
beforeEach(() => {
  jobs += 1;
  jobId = `job-live-${jobs}`;
  notices.length = 0;
  live = openLiveStream({ url: redis.url, onNotice: (text) => notices.push(text) });
});
afterEach(async () => {
  await live.close();
});
after(async () => {
  await redis.close();
});

const end: LiveEvent = { kind: 'end', status: 'done', finishReason: 'length' };

function tokens(from: number, to: number): LiveEvent[] {
  return Array.from({ length: to - from + 1 }, (_, i) => token(from + i));
}

function token(position: number): LiveEvent {
  return { kind: 'token', position, token: position % 50_000, logprob: -0.5, text: ` ${position}` };
}

function progress(epoch: number, count: number): Progress {
  return {
    epoch,
    worker: `w${epoch}`,
    phase: 'read',
    tokens: count,
    bytes: count * 4,
    totalBytes: null,
    outputTokens: 0,
    tokensPerSecond: 1.5,
    committedTokens: 0,
    commits: 0,
    updatedAt: new Date(0).toISOString(),
  };
}

/** Reads until `end`; `got` grows as events come. */
function follow(from: number, got: LiveEvent[], signal = AbortSignal.timeout(15_000)): Promise<void> {
  return (async () => {
    for await (const event of live.read(jobId, { after: from, signal })) got.push(event);
  })();
}

async function until(what: string, ask: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 10_000; !ask(); await delay(5)) {
    if (performance.now() > deadline) throw new Error(`waited 10 s for ${what}`);
  }
}

test('a reader gets what is there, then what comes, then the end', async () => {
  assert.equal(await live.append(jobId, 1, tokens(1, 700)), 700);
  const got: LiveEvent[] = [];
  const reading = follow(0, got);
  await until('the stored ones', () => got.length === 700);
  assert.equal(await live.append(jobId, 1, [...tokens(701, 702), end]), 3);
  await reading;
  assert.deepEqual(got, [...tokens(1, 702), end]);
  const later: LiveEvent[] = [];
  await follow(700, later);
  assert.deepEqual(later, [...tokens(701, 702), end]);
});

test('repeats of a resumed run are left out, and an older epoch is refused', async () => {
  await live.append(jobId, 1, tokens(1, 10));
  assert.equal(await live.append(jobId, 2, tokens(6, 12)), 2);
  assert.equal(await live.append(jobId, 1, tokens(13, 14)), 0, 'a zombie');
  assert.equal(await live.append(jobId, 1, [end]), 0, 'a zombie');
  assert.equal(await live.append(jobId, 2, [token(13), end, end, token(14)]), 2);
  const got: LiveEvent[] = [];
  await follow(0, got);
  assert.deepEqual(got, [...tokens(1, 13), end]);
});

test('a newer epoch starts over where an older one had ended the stream', async () => {
  await live.append(jobId, 1, [...tokens(1, 3), end]);
  assert.equal(await live.append(jobId, 2, [...tokens(4, 5), end]), 3);
  const got: LiveEvent[] = [];
  await follow(3, got);
  assert.deepEqual(got, [...tokens(4, 5), end]);
});

test('progress of an older epoch is dropped, and shuts out no newer one', async () => {
  assert.equal(await live.readProgress(jobId), null);
  assert.equal(await live.postProgress(jobId, progress(2, 100)), true);
  assert.equal(await live.postProgress(jobId, progress(1, 999)), false);
  assert.deepEqual(await live.readProgress(jobId), progress(2, 100));
  assert.equal(await live.postProgress(jobId, progress(2, 200)), true);
  assert.equal(await live.append(jobId, 1, tokens(1, 1)), 0, 'progress fences the stream too');
  assert.equal(await live.postProgress(jobId, progress(3, 150)), true);
  assert.deepEqual(await live.readProgress(jobId), progress(3, 150));
});

test('a trimmed start is a gap, and so is a hole in the middle', async () => {
  // Trimming is by whole nodes of a hundred entries or so.
  await live.append(jobId, 1, tokens(1, 6000));
  await assert.rejects(follow(0, []), (error) => error instanceof LiveGap && error.firstPosition > 1000);
  const got: LiveEvent[] = [];
  const gap = assert.rejects(follow(5998, got), (error) => error instanceof LiveGap && error.firstPosition === 6005);
  await until('the tail', () => got.length === 2);
  await live.append(jobId, 1, tokens(6005, 6005));
  await gap;
  assert.deepEqual(got, tokens(5999, 6000));
});

test('a reader goes on over a restart of Redis, without loss or repeat', async () => {
  const got: LiveEvent[] = [];
  await live.append(jobId, 1, tokens(1, 5));
  const reading = follow(0, got);
  await until('the first ones', () => got.length === 5);
  // Append-only writes reach the disk every second.
  await delay(1100);
  await redis.kill9();
  await assert.rejects(live.append(jobId, 1, tokens(6, 6)), { code: 'queue_unavailable' });
  await redis.restart();
  for (let taken = 0; taken < 4; ) taken = await live.append(jobId, 1, [...tokens(4, 8), end]).catch(() => 0);
  await reading;
  assert.deepEqual(got, [...tokens(1, 8), end]);
  assert.ok(notices.some((text) => text.includes('is out of reach')));
});

test('a stream lost with all of Redis still ends for a reader of the committed output', async () => {
  const got: LiveEvent[] = [];
  await live.append(jobId, 1, tokens(1, 5));
  const reading = follow(0, got);
  await until('the first ones', () => got.length === 5);
  await redis.restartEmpty();
  for (let taken = 0; taken < 1; ) taken = await live.append(jobId, 1, [end]).catch(() => 0);
  await reading;
  assert.deepEqual(got, [...tokens(1, 5), end]);
});

test('stopping a reader, closing the stream, and asking for cancellation', async () => {
  const stop = new AbortController();
  const stopped = assert.rejects(follow(0, [], stop.signal), /enough/);
  await delay(50);
  stop.abort(new Error('enough'));
  await stopped;

  assert.equal(await live.cancelSignalled(jobId), false);
  await live.signalCancel(jobId);
  assert.equal(await live.cancelSignalled(jobId), true);

  const open = assert.rejects(follow(0, []), { code: 'closed' });
  await delay(50);
  await live.close();
  await open;
  await assert.rejects(live.readProgress(jobId), { code: 'closed' });
});

test('what no version of ours wrote is refused with the key that holds it', async () => {
  const raw = connectRedis({ url: redis.url, name: 'test', onNotice: () => {}, whileAway: 'fail' });
  try {
    await raw.hset(`longhaul:{${jobId}}:state`, 'progress', '{"epoch":-1}');
    await assert.rejects(live.readProgress(jobId), { code: 'object_corrupt', message: new RegExp(jobId) });
    await raw.xadd(`longhaul:{${jobId}}:live`, '1-0', 'event', 'not json');
    await assert.rejects(follow(0, []), { code: 'object_corrupt' });
  } finally {
    raw.disconnect();
  }
});

test('what is kept expires within a day', async () => {
  await live.append(jobId, 1, tokens(1, 1));
  await live.postProgress(jobId, progress(1, 1));
  await live.signalCancel(jobId);
  const raw = connectRedis({ url: redis.url, name: 'test', onNotice: () => {}, whileAway: 'fail' });
  try {
    const keys = await raw.keys(`longhaul:{${jobId}}:*`);
    assert.equal(keys.length, 3);
    for (const key of keys) {
      const left = await raw.pttl(key);
      assert.ok(left > 0 && left <= 86_400_000, `${key} lives ${left} ms`);
    }
  } finally {
    raw.disconnect();
  }
});

test('a URL that is none of Redis is refused, and a password never shows', async () => {
  assert.throws(() => openLiveStream({ url: 'http://localhost', onNotice: () => {} }), { code: 'invalid_config' });
  const wrong = openLiveStream({
    url: redis.url.replace(/:[0-9a-f]+@/, ':hunter2@'),
    onNotice: (t) => notices.push(t),
  });
  try {
    await assert.rejects(wrong.readProgress(jobId), { code: 'queue_unavailable' });
    await until('a notice', () => notices.some((text) => text.includes('WRONGPASS')));
    assert.ok(!notices.join('\n').includes('hunter2'));
  } finally {
    await wrong.close();
  }
});
