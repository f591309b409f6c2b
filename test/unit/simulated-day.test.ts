import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { before, test } from 'node:test';
import { type Arrival, arrivalLines, parseArrivals } from '../simulation/day/arrival.ts';
import { playRow, strategiesOf } from '../simulation/day/compare.ts';
import { costRows, docBusyShares } from '../simulation/day/cost-model.ts';
import { type Day, playDay } from '../simulation/day/measure.ts';
import { type Assumptions, defaults, withBoot, withSettings } from '../simulation/day/parameters.ts';
import { dayPicture } from '../simulation/day/picture.ts';
import { markdownTable, rowsOf, turned } from '../simulation/day/report.ts';
import { ours } from '../simulation/day/strategies/ours.ts';
import type { World } from '../simulation/day/world.ts';

const file = path.resolve(import.meta.dirname, '../fixtures/arrivals/day.jsonl');
/** Machines die all the time, and starts fail: what must hold, must hold here. */
const harsh: Assumptions = {
  ...defaults,
  spotMtbfHours: 0.5,
  spotRefusedShare: 0.2,
  unplacedShare: 0.1,
  noticeShare: 0.5,
};
let day: Arrival[];
/** A burst, an hour of nothing, and a morning. */
let short: Arrival[];

before(async () => {
  day = parseArrivals(await readFile(file, 'utf8'), file);
  short = [
    ...day.filter(({ tenant }) => tenant === 'pipeline').slice(0, 150),
    ...day.filter(({ at, tenant }) => at >= 6 * 3600 && at < 10 * 3600 && tenant !== 'pipeline'),
  ];
  assert.ok(short.length > 300);
});

const sum = (values: readonly number[]) => values.reduce((total, one) => total + one, 0);

/** Workers that were there at once, at most. */
function mostAtOnce({ workers }: World): number {
  const changes = workers.flatMap(({ startedAt, endedAt }) => [
    [startedAt, 1] as const,
    [endedAt ?? Number.POSITIVE_INFINITY, -1] as const,
  ]);
  let [now, most] = [0, 0];
  for (const [, change] of changes.sort(([a, x], [b, y]) => a - b || x - y)) {
    now += change;
    most = Math.max(most, now);
  }
  return most;
}

function assertSound({ world, measures }: Day, name: string): void {
  const { jobs, workers, a } = world;
  const read = sum(workers.map(({ work }) => work));
  const kept = sum(jobs.map(({ done, recomputed }) => done + recomputed));
  assert.ok(Math.abs(read - kept) < 1e-6 * read, `${name}: ${read} read, ${kept} kept or read again`);
  assert.ok(mostAtOnce(world) <= a.maxWorkers, `${name}: ${mostAtOnce(world)} workers at once`);
  for (const { arrival, done, work, firstChunkAt, endedAt, place } of jobs) {
    if (place !== 'ended') continue;
    assert.equal(done, work);
    assert.ok(arrival.at < firstChunkAt! && firstChunkAt! <= endedAt! + 1e-6, `${name}: begun and ended in order`);
  }
  for (const { state, hands } of workers) assert.ok(state === 'ended' && hands.size === 0, `${name}: none is left`);
  assert.ok(measures.idleShare >= 0 && measures.idleShare < 1, name);
  assert.ok(
    measures.recomputed <= sum(workers.map(({ interrupted }) => (interrupted ? 1 : 0))) * a.slots * a.commitTokens ||
      name.includes('kills'),
  );
}

test('tokens are conserved, no limit is exceeded and no worker is left, under every strategy and heavy interruptions', () => {
  for (const seed of [1, 2]) {
    for (const strategy of strategiesOf(short, harsh)) {
      const played = playDay(short, strategy, harsh, seed);
      assertSound(played, strategy.name);
      if (strategy.reaper) assert.equal(played.measures.unended, 0, `${strategy.name}: every job ends`);
    }
  }
});

test('interruptions cost work that was not committed, and only without a notice', () => {
  const recomputed = (noticeShare: number) => playDay(short, ours(harsh), { ...harsh, noticeShare }, 1).measures;
  assert.equal(recomputed(1).recomputed, 0);
  const unnoticed = recomputed(0);
  assert.ok(unnoticed.recomputed > 0 && unnoticed.interruptions > 0);
});

test('a seed decides the day: the same is the same, another is another', () => {
  const play = (seed: number) => {
    const { measures, samples } = playDay(short, ours(harsh), harsh, seed);
    return { measures, samples };
  };
  assert.deepEqual(play(1), play(1));
  assert.notDeepEqual(play(1), play(2));
});

test('the whole stored day costs less than the fleet that its peak needs, and nothing while nobody wants anything', () => {
  const played = playDay(day, ours(defaults), defaults, 1);
  assertSound(played, 'ours');
  const fixed = strategiesOf(day, defaults).find(({ name }) => /always on, \d+ spot \(the peak\)/.test(name))!;
  assert.ok(played.measures.cost < playDay(day, fixed, defaults, 1).measures.cost / 2);
  const night = played.samples.filter(({ at }) => at >= 3.5 * 3600 && at < 5 * 3600);
  assert.ok(night.length > 40 && night.every(({ spot, onDemand }) => spot + onDemand === 0));
  assert.equal(played.measures.unended, 0);
});

test('a longer boot makes jobs wait longer, and refused spot starts end on demand', () => {
  const slow = withBoot(defaults, 600);
  const wait = (a: Assumptions) => playDay(short, ours(a), a, 1).measures.waitP95;
  assert.ok(wait(slow) > wait(defaults));
  const dear = { ...defaults, spotRefusedShare: 1 };
  const { spotShare, unended } = playDay(short, ours(dear), dear, 1).measures;
  assert.deepEqual({ spotShare, unended }, { spotShare: 0, unended: 0 });
});

test('the picture stays within its frame and has a panel for each strategy', () => {
  const days = strategiesOf(short, defaults).map((strategy) => ({
    name: `${strategy.name} <&>`,
    ...playDay(short, strategy, defaults, 1),
  }));
  const svg = dayPicture(days, short);
  const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg)!.map(Number) as [number, number, number];
  for (const [, axis, value] of svg.matchAll(/\b(x|y|H|V)="?(-?[\d.]+|NaN)/g)) {
    const most = axis === 'y' || axis === 'V' ? height : width;
    assert.ok(Number(value) >= 0 && Number(value) <= most, `${axis} ${value}`);
  }
  assert.equal(svg.match(/<g>/g)!.length, days.length + 1);
  assert.ok(svg.includes('longhaul &lt;&amp;&gt;') && !svg.includes('NaN'));
});

test('arrivals are read as they are written; a line that is none is named, and so is a setting that is none', () => {
  assert.deepEqual(
    parseArrivals(arrivalLines(short), 'f'),
    [...short].sort((a, b) => a.at - b.at),
  );
  assert.throws(() => parseArrivals('{"at":1,"tenant":"a","tokens":5}\n{"at":1}\n', 'f.jsonl'), /f\.jsonl, line 2: /);
  assert.throws(() => parseArrivals('not json', 'f.jsonl'), /f\.jsonl, line 1: /);
  assert.throws(() => parseArrivals('\n', 'f.jsonl'), /f\.jsonl holds no arrivals/);
  assert.equal(withSettings(defaults, ['slots=2']).slots, 2);
  assert.throws(() => withSettings(defaults, ['slot=2']), /--set takes one of .*found slot$/);
  assert.throws(() => withSettings(defaults, ['slots=many']), /--set slots takes a number from 0, found many/);
});

test('docs/operations.md shows what the command says today', async () => {
  const page = await readFile(path.resolve(import.meta.dirname, '../../docs/operations.md'), 'utf8');
  const seeds = Array.from({ length: 9 }, (_, i) => i + 1);
  const rows = rowsOf('strategy', [playRow('longhaul', day, ours(defaults), defaults, seeds, () => undefined)]);
  for (const [measure, value] of turned(rows).slice(1)) {
    assert.ok(page.includes(`| ${measure} | ${value} |`), `${measure} is ${value}: npm run simulate:day -- --markdown`);
  }
  const costs = markdownTable(costRows(docBusyShares));
  assert.ok(page.includes(costs), 'dollars a million tokens: npm run simulate:day -- --costs --markdown');
});
