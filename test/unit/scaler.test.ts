import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, RetryableFailure, systemClock } from '@longhaul/core/contracts';
import type { WorkerSign } from '@longhaul/core/fleet';
import type { QueueDemand } from '@longhaul/core/queue';
import { readScalingRecord } from '@longhaul/core/scaling';
import { metric } from '@longhaul/core/telemetry';
import type { SweptQueue } from '../../infra/controller/ports.ts';
import { scalingSwitches } from '../../infra/controller/scaling/operate.ts';
import { decide, defaultTuning } from '../../infra/controller/scaling/policy.ts';
import type { ScalingLimits } from '../../infra/controller/scaling/port.ts';
import { Scaler } from '../../infra/controller/scaling/scaler.ts';
import { FakePlatform } from '../support/fake-platform.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { recordMetrics } from '../support/recorded.ts';

const recorded = recordMetrics();

const none: QueueDemand = { waiting: 0, prioritized: 0, delayedDue: 0, delayedLater: 0, held: 0, orphaned: 0 };
const minute = 60_000;
const limits: ScalingLimits = { ...defaultTuning, slotsPerWorker: 2, maxWorkers: 10, maxWorkerHoursPerDay: null };

function world(start = '2026-03-28T12:00:00Z') {
  let ms = Date.parse(start);
  const clock: Clock = { ...systemClock, now: () => ms, date: () => new Date(ms) };
  const store = new MemoryStore();
  const platform = new FakePlatform(() => ms);
  const demand = new Map<string, QueueDemand>([['m', none]]);
  const signs: WorkerSign[] = [];
  const lines: string[] = [];
  const queues = {
    models: () => [...demand.keys()],
    of: (model: string) => ({ demand: async () => demand.get(model)! }) as unknown as SweptQueue,
  };
  const scaler = (more: Partial<ScalingLimits> = {}) =>
    new Scaler({
      ...{
        queues,
        store,
        clock,
        launcher: platform,
        policy: decide,
        limits: { ...limits, ...more },
        models: ['m', 'n'],
      },
      fleet: { workers: async () => signs },
      log: (level, message, fields) => void lines.push(`${level} ${message} ${JSON.stringify(fields)}`),
      earliestDeadline: () => null,
      intentPatienceMs: 5000,
    });
  return {
    ...{ clock, store, platform, lines, scaler },
    wants: (jobs: number, model = 'm') => void demand.set(model, { ...none, prioritized: jobs }),
    orphans: (jobs: number) => void demand.set('m', { ...none, orphaned: jobs }),
    pass: (milliseconds: number) => {
      ms += milliseconds;
    },
    setClock: (iso: string) => {
      ms = Date.parse(iso);
    },
    /** Running workers say that they live, each with so many jobs in hand. */
    serve: (jobs: number) => {
      platform.run();
      signs.splice(0);
      for (const { id, model } of platform.workers.values())
        signs.push({
          ...{ id, name: id, model, modelDigest: 'd', engine: 'e', chat: false, slots: 2, jobs, status: 'serving' },
          startedAt: new Date(ms).toISOString(),
        });
    },
    record: async () => (await readScalingRecord({ store, clock: () => clock.date() })).record,
    switches: scalingSwitches(store, clock),
  };
}

test('workers are started for the jobs that want a slot, once, and counted until they have ended', async () => {
  const { scaler, wants, platform, pass, serve, record } = world();
  const one = scaler();
  wants(5);
  await one.round();
  assert.equal(platform.workers.size, 3, 'ceil(5 / 2)');
  pass(15_000);
  await one.round();
  assert.equal(platform.asked.length, 1, 'those that come are enough');
  serve(2);
  wants(0);
  await one.round();
  pass(10 * minute);
  for (const id of [...platform.workers.keys()]) platform.end(id);
  await one.round();
  const after = await record();
  assert.deepEqual(after.workers, {});
  // From 12:00:15, when they were seen placed, whose boot counts from the look before: 12:00:00 starting, 12:00:15 running.
  assert.ok(Math.abs(after.workerSeconds - 3 * 600) <= 3 * 15, `${after.workerSeconds} s`);
});

test('an orphaned job wakes a fleet of zero', async () => {
  const { scaler, orphans, platform } = world();
  orphans(1);
  await scaler().round();
  assert.equal(platform.workers.size, 1);
});

test('several controllers in the same moment start the workers of one', async () => {
  const { scaler, wants, platform, pass } = world();
  const controllers = Array.from({ length: 5 }, () => scaler());
  for (let turn = 0; turn < 4; turn++) {
    wants(6 + 2 * turn);
    await Promise.all(controllers.map((one) => one.round()));
    pass(1000);
  }
  assert.equal(platform.workers.size, 6, 'ceil(12 / 2)');
});

test('an answer that was lost: the same token asks again, and gives the same workers', async () => {
  const { scaler, wants, platform, pass, record } = world();
  wants(4);
  platform.loseAnswers = 1;
  await scaler().round();
  pass(1000);
  const heir = scaler();
  await heir.round();
  assert.equal(platform.asked.length, 1, 'the intent may be in work yet');
  pass(5000);
  await heir.round();
  await heir.round();
  assert.equal(platform.asked.length, 2);
  assert.equal(platform.asked[0]?.token, platform.asked[1]?.token);
  assert.equal(platform.workers.size, 2);
  assert.equal((await record()).models['m']?.intent, null);
});

test('an answer that could not be written down is asked for again, and its workers are counted once', async () => {
  const { scaler, wants, platform, pass, store, record } = world();
  const one = scaler();
  wants(7, 'n');
  const write = store.putIfMatch.bind(store);
  const start = platform.start.bind(platform);
  platform.start = async (request) => {
    store.putIfMatch = async () => {
      throw new RetryableFailure('store_unavailable', 'the store gave no answer');
    };
    return await start(request);
  };
  await assert.rejects(one.round(), /store gave no answer/);
  platform.start = start;
  store.putIfMatch = write;
  assert.equal(platform.workers.size, 4, 'ceil(7 / 2)');
  pass(6000);
  await one.round();
  assert.equal(platform.asked[0]?.token, platform.asked[1]?.token);
  assert.equal((await record()).models['n']?.intent, null);
  const started = (await recorded.of(metric.workersStarted)).filter(([{ 'longhaul.model': model }]) => model === 'n');
  assert.deepEqual(
    started.map(([, workers]) => workers),
    [4],
  );
});

test('a platform that cannot be asked is asked again, and an intent is forgotten after ten minutes', async () => {
  const { scaler, wants, platform, pass, record } = world();
  const one = scaler();
  wants(1);
  platform.refuseConnections = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 50; i++) {
    await one.round();
    pass(15_000);
  }
  assert.ok(new Set(platform.asked.map(({ token }) => token)).size >= 2, 'a new token after the old one is forgotten');
  platform.refuseConnections = 0;
  pass(15_000);
  await one.round();
  assert.equal(platform.workers.size, 1);
  assert.equal((await record()).models['m']?.intent, null);
});

test('workers that the list does not show yet are not started twice; those it never shows are forgotten', async () => {
  const { scaler, wants, platform, pass, record } = world();
  const one = scaler();
  wants(2);
  platform.lists = false;
  await one.round();
  pass(30_000);
  await one.round();
  assert.equal(platform.asked.length, 1);
  pass(31_000);
  await one.round();
  assert.equal(platform.asked.length, 2, 'after a minute nothing came of it');
  assert.equal(Object.keys((await record()).workers).length, 1);
});

test('refused spot starts lead to on-demand, with a pause between; a spot worker that runs clears them', async () => {
  const { scaler, wants, platform, pass, record } = world();
  const one = scaler();
  wants(2);
  platform.places.spot = 0;
  for (let i = 0; i < 40 && platform.workers.size === 0; i++) {
    await one.round();
    pass(15_000);
  }
  assert.deepEqual(
    platform.asked.map(({ market }) => market),
    ['spot', 'spot', 'spot', 'on-demand'],
  );
  assert.match((await record()).models['m']!.refusal!.words, /no spot capacity/);
  platform.places.spot = 5;
  for (const id of [...platform.workers.keys()]) platform.end(id);
  pass(11 * minute);
  await one.round();
  assert.equal(platform.asked.at(-1)?.market, 'spot', 'tried again after the longest pause');
  platform.run();
  pass(15_000);
  await one.round();
  assert.equal((await record()).models['m']?.spotRefusals, 0);
});

test('a spot start that the platform gives up later counts as refused; a broken image is tried at growing pauses', async () => {
  const { scaler, wants, platform, pass, record, lines } = world();
  const one = scaler();
  wants(1);
  await one.round();
  platform.end([...platform.workers.keys()][0]!, { kind: 'capacity', words: 'Capacity is unavailable at this time' });
  pass(15_000);
  await one.round();
  assert.equal((await record()).models['m']?.spotRefusals, 1);
  assert.equal(platform.workers.size, 0, 'it pauses');
  pass(minute);
  const starts: number[] = [];
  const before = platform.asked.length;
  for (let i = 0; i < 120; i++) {
    await one.round();
    if (platform.asked.length - before > starts.length) starts.push(i);
    for (const id of [...platform.workers.keys()])
      platform.end(id, { kind: 'broken', words: 'CannotPullContainerError' });
    pass(15_000);
  }
  const pauses = starts.slice(1).map((at, i) => (at - starts[i]!) * 15);
  assert.ok(starts.length >= 3 && starts.length <= 8, `${starts.length} starts in 30 minutes`);
  assert.deepEqual(
    pauses,
    [...pauses].sort((a, b) => a - b),
    `pauses ${pauses} grow`,
  );
  assert.ok(lines.some((line) => line.includes('CannotPullContainerError')));
});

test('the breaker opens at the hours of a day, is told, and is lifted by hand or by the next day', async () => {
  const { scaler, wants, platform, pass, serve, lines, switches, setClock } = world('2026-03-28T20:00:00Z');
  const one = scaler({ maxWorkerHoursPerDay: 2, maxWorkers: 2, leastWorkerSeconds: 60 });
  wants(4);
  await one.round();
  assert.equal(platform.workers.size, 2);
  serve(2);
  pass(61 * minute);
  await one.round();
  for (const id of [...platform.workers.keys()]) platform.end(id);
  const open = await one.round();
  assert.equal(platform.workers.size, 0);
  assert.match(open.models[0]!.decision.breaker!, /worker-hours of today/);
  assert.ok(lines.some((line) => line.startsWith('error the budget of worker hours is spent')));
  await one.round();
  assert.equal(lines.filter((line) => line.startsWith('error')).length, 1, 'told once');

  await switches.lift(0.5);
  await one.round();
  assert.equal(platform.workers.size, 2, 'half an hour more holds two of a minute');
  for (const id of [...platform.workers.keys()]) platform.end(id);

  setClock('2026-03-29T00:00:01Z');
  const next = await one.round();
  assert.equal(next.workerHoursAllowed, 2, 'what was lifted was lifted for a day');
  assert.ok(next.workerHoursToday < 0.01);
  assert.equal(platform.workers.size, 2);
  assert.ok(lines.some((line) => line.startsWith('info worker hours may be spent again')));
});

test('a worker across midnight is counted for each day by its part, and a clock that goes back gives no hours back', async () => {
  const { scaler, wants, serve, pass, setClock, record } = world('2026-03-28T23:00:00Z');
  const one = scaler();
  wants(1);
  await one.round();
  serve(1);
  wants(0);
  await one.round();
  pass(45 * minute);
  await one.round();
  assert.equal((await record()).workerSeconds, 45 * 60);
  setClock('2026-03-29T00:30:00Z');
  await one.round();
  assert.deepEqual([(await record()).day, (await record()).workerSeconds], ['2026-03-29', 30 * 60]);
  setClock('2026-03-28T23:50:00Z');
  await one.round();
  assert.deepEqual([(await record()).day, (await record()).workerSeconds], ['2026-03-29', 30 * 60]);
  setClock('2026-03-29T00:40:00Z');
  await one.round();
  assert.equal((await record()).workerSeconds, 40 * 60, 'no minute twice');
});

test('the kill switch: nothing is started while it is set, not even what was about to be', async () => {
  const { scaler, wants, platform, pass, switches } = world();
  const one = scaler();
  wants(2);
  platform.refuseConnections = 1;
  await one.round();
  await switches.pause('prices');
  pass(minute);
  const { models, paused } = await one.round();
  assert.equal(platform.workers.size, 0);
  assert.equal(paused, 'prices');
  assert.match(models[0]!.decision.reason, /paused since .*: prices|are being asked for/);
  await switches.resume();
  await one.round();
  assert.equal(platform.workers.size, 1);
});

test('nothing to do: the store is left alone, and a dry look writes and starts nothing', async () => {
  const { scaler, wants, platform, store, pass } = world();
  const one = scaler();
  await one.round();
  const get = store.get.bind(store);
  let reads = 0;
  store.get = async (...args) => {
    reads++;
    return await get(...args);
  };
  for (let i = 0; i < 100; i++) {
    await one.round();
    pass(15_000);
  }
  assert.equal(reads, 0);
  wants(3);
  const { models } = await one.look();
  assert.deepEqual(models[0]?.decision.start, [{ market: 'spot', count: 2 }]);
  assert.equal(platform.asked.length, 0);
  const keys: string[] = [];
  for await (const { key } of store.list('')) keys.push(key);
  assert.deepEqual(keys, []);
});

test('the slots of a worker that was lost are not free, although its last sign of life is not forgotten yet', async () => {
  const { scaler, wants, orphans, platform, serve } = world();
  const one = scaler();
  wants(1);
  await one.round();
  serve(1);
  wants(0);
  await one.round();
  platform.end([...platform.workers.keys()][0]!, { kind: 'broken', words: 'killed' });
  orphans(1);
  await one.round();
  assert.equal(platform.workers.size, 1);
  assert.equal(platform.asked.length, 2);
});

test('jobs of a model that nobody named start no worker', async () => {
  const { scaler, wants, platform } = world();
  wants(5, 'made-up');
  await scaler().round();
  assert.equal(platform.asked.length, 0);
});
