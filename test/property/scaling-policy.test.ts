import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decide, defaultTuning } from '../../infra/controller/scaling/policy.ts';
import type {
  LaunchedWorker,
  ScalingDecision,
  ScalingLimits,
  ScalingMoment,
} from '../../infra/controller/scaling/port.ts';

const seed = Number(process.env['LONGHAUL_SEED'] ?? Date.now() % 2 ** 31);
const now = 1_800_000_000_000;
const check = <T extends unknown[]>(property: fc.IPropertyWithHooks<T>) => fc.assert(property, { seed, numRuns: 2000 });

const market = fc.constantFrom('spot', 'on-demand');
const worker: fc.Arbitrary<LaunchedWorker> = fc.record({
  id: fc.uuid(),
  model: fc.constant('m'),
  market,
  state: fc.constantFrom('starting', 'running'),
  startedAt: fc.nat(7_200_000).map((age) => now - age),
});

const limits: fc.Arbitrary<ScalingLimits> = fc.record({
  slotsPerWorker: fc.integer({ min: 1, max: 16 }),
  maxWorkers: fc.nat(30),
  maxWorkerHoursPerDay: fc.option(fc.double({ min: 0, max: 50, noNaN: true }), { nil: null }),
  onDemandAfterRefusals: fc.integer({ min: 1, max: 5 }),
  deadlinePressureMs: fc.nat(3_600_000),
  refusalPauseMs: fc.integer({ min: 1000, max: 300_000 }),
  startWithinMs: fc.integer({ min: 60_000, max: 1_800_000 }),
  leastWorkerSeconds: fc.integer({ min: 1, max: 1800 }),
});

const small = fc.oneof(fc.constant(0), fc.nat(5), fc.nat(500));
const moment: fc.Arbitrary<ScalingMoment> = fc
  .record({
    places: fc.record({
      waiting: small,
      prioritized: small,
      delayedDue: small,
      delayedLater: small,
      held: small,
      orphaned: small,
    }),
    workers: fc.array(worker, { maxLength: 30 }),
    freeSlots: fc.nat(60),
    heard: fc.nat(30),
    earliestDeadline: fc.option(fc.integer({ min: -3_600_000, max: 7_200_000 }), { nil: null }),
    spotRefusals: fc.nat(8),
    refusedAgo: fc.option(fc.nat(3_600_000), { nil: null }),
    workerSecondsToday: fc.nat(200_000),
  })
  .map(({ places, heard, earliestDeadline, refusedAgo, ...rest }) => ({
    ...rest,
    now,
    demand: demandOf(places),
    workersHeard: Math.min(heard, rest.workers.filter(({ state }) => state === 'running').length),
    earliestDeadline: earliestDeadline === null ? null : now + earliestDeadline,
    refusedAt: refusedAgo === null ? null : now - refusedAgo,
  }));

function demandOf(places: Omit<ScalingMoment['demand'], 'model' | 'demand'>): ScalingMoment['demand'] {
  const { waiting, prioritized, delayedDue, orphaned } = places;
  return { ...places, model: 'm', demand: waiting + prioritized + delayedDue + orphaned };
}

const started = ({ start }: ScalingDecision) => start.reduce((sum, { count }) => sum + count, 0);

const calm: ScalingMoment = {
  now,
  demand: demandOf({ waiting: 0, prioritized: 0, delayedDue: 0, delayedLater: 0, held: 0, orphaned: 0 }),
  workers: [],
  freeSlots: 0,
  workersHeard: 0,
  earliestDeadline: null,
  spotRefusals: 0,
  refusedAt: null,
  workerSecondsToday: 0,
};
const plain: ScalingLimits = { slotsPerWorker: 4, maxWorkers: 10, maxWorkerHoursPerDay: null, ...defaultTuning };
const wanting = (count: number) => demandOf({ ...calm.demand, prioritized: count });
const launched = (one: Partial<LaunchedWorker>): LaunchedWorker => ({
  id: 'w',
  model: 'm',
  market: 'spot',
  state: 'starting',
  startedAt: now - 30_000,
  ...one,
});

test('no decision exceeds a limit, starts where enough comes, or leaves out its reason', (t) => {
  t.diagnostic(`seed ${seed} (LONGHAUL_SEED)`);
  check(
    fc.property(moment, limits, (at, within) => {
      const decision = decide(at, within);
      const count = started(decision);
      assert.ok(decision.start.every((one) => one.count > 0 && Number.isSafeInteger(one.count)));
      assert.ok(count === 0 || count + at.workers.length <= within.maxWorkers, 'the most workers');
      const unmet = at.demand.demand - at.freeSlots;
      assert.ok(
        count <= Math.max(0, Math.ceil(unmet / within.slotsPerWorker)),
        'more than the jobs that wait would fill',
      );
      if (within.maxWorkerHoursPerDay !== null && count > 0) {
        const after = at.workerSecondsToday + count * within.leastWorkerSeconds;
        assert.ok(after <= within.maxWorkerHoursPerDay * 3600, 'the budget');
      }
      assert.ok(decision.reason.length > 0);
      if (decision.breaker !== null) assert.ok(count === 0 && unmet > 0);
    }),
  );
});

test('a decision depends on the moment and the limits alone', () => {
  check(
    fc.property(moment, limits, (at, within) => {
      const given = structuredClone({ at, within });
      const first = decide(at, within);
      assert.deepEqual(decide(structuredClone(at), structuredClone(within)), first);
      assert.deepEqual(structuredClone({ at, within }), given, 'what was given is left as it was');
    }),
  );
});

test('more jobs never start fewer workers, more free slots never more, and wider limits never fewer', () => {
  check(
    fc.property(moment, limits, fc.nat(200), (at, within, more) => {
      const count = started(decide(at, within));
      const demand = demandOf({ ...at.demand, prioritized: at.demand.prioritized + more });
      assert.ok(started(decide({ ...at, demand }, within)) >= count, 'jobs');
      assert.ok(started(decide({ ...at, freeSlots: at.freeSlots + more }, within)) <= count, 'free slots');
      assert.ok(started(decide(at, { ...within, maxWorkers: within.maxWorkers + more })) >= count, 'the most workers');
      assert.ok(started(decide(at, { ...within, maxWorkerHoursPerDay: null })) >= count, 'the budget');
    }),
  );
});

test('a second look before anything has changed starts nothing more', () => {
  check(
    fc.property(moment, limits, fc.nat(59_000), (any, some, laterMs) => {
      // Limits and pauses that cut a start short are out of the way, and no worker gets stuck between the two looks.
      const within = { ...some, maxWorkers: 1000, maxWorkerHoursPerDay: null };
      const young = ({ startedAt }: LaunchedWorker) => now + laterMs - startedAt < within.startWithinMs;
      const at = { ...any, refusedAt: null, workers: any.workers.filter(young) };
      const come = decide(at, within).start.flatMap(({ market, count }) =>
        Array.from({ length: count }, (_, i) => launched({ id: `new-${i}`, market, startedAt: now })),
      );
      const next = decide({ ...at, now: now + laterMs, workers: [...at.workers, ...come] }, within);
      assert.deepEqual(next.start, []);
    }),
  );
});

test('a worker that comes is counted from its start until a heartbeat is heard of it, and no longer than that may take', () => {
  const at = { ...calm, demand: wanting(4) };
  const count = (one: Partial<ScalingMoment>) => started(decide({ ...at, ...one }, plain));
  assert.equal(count({}), 1);
  assert.equal(count({ workers: [launched({})] }), 0, 'starting');
  assert.equal(count({ workers: [launched({ state: 'running' })] }), 0, 'running, and loading');
  assert.equal(count({ workers: [launched({ state: 'running' })], workersHeard: 1 }), 1, 'serving, every slot taken');
  assert.equal(count({ workers: [launched({ state: 'running' })], workersHeard: 1, freeSlots: 4 }), 0, 'serving, idle');
  const old = { startedAt: now - plain.startWithinMs };
  assert.equal(count({ workers: [launched({ ...old })] }), 1, 'stuck before it ran');
  assert.equal(count({ workers: [launched({ ...old, state: 'running' })] }), 1, 'runs and never serves');
});

test('orphans and jobs that are soon due start workers; those of later and those held do not', () => {
  const of = (places: Partial<ScalingMoment['demand']>) =>
    started(decide({ ...calm, demand: demandOf({ ...calm.demand, ...places }) }, plain));
  assert.equal(of({ orphaned: 1 }), 1);
  assert.equal(of({ delayedDue: 5 }), 2);
  assert.equal(of({ waiting: 1, prioritized: 8 }), 3);
  assert.equal(of({ delayedLater: 100, held: 100 }), 0);
});

test('spot first; after refusals a pause that doubles, then on-demand, then spot once more', () => {
  const at = (spotRefusals: number, ago: number): ScalingMoment => ({
    ...calm,
    demand: wanting(9),
    spotRefusals,
    refusedAt: now - ago * 1000,
  });
  const asked = (spotRefusals: number, ago: number) => decide(at(spotRefusals, ago), plain).start;
  assert.deepEqual(decide({ ...calm, demand: wanting(9) }, plain).start, [{ market: 'spot', count: 3 }]);
  assert.deepEqual(asked(1, 59), []);
  assert.deepEqual(asked(1, 60), [{ market: 'spot', count: 3 }]);
  assert.deepEqual(asked(2, 119), []);
  assert.deepEqual(asked(2, 120), [{ market: 'spot', count: 3 }]);
  assert.deepEqual(asked(3, 59), []);
  assert.deepEqual(asked(3, 60), [{ market: 'on-demand', count: 3 }]);
  assert.deepEqual(asked(3, 600), [{ market: 'spot', count: 3 }]);
  const patient = { ...plain, onDemandAfterRefusals: 100 };
  assert.deepEqual(decide(at(50, 599), patient).start, []);
  assert.deepEqual(decide(at(50, 600), patient).start, [{ market: 'spot', count: 3 }], 'no pause is longer than ten');
  assert.match(decide(at(2, 30), plain).reason, /refused 30 s ago, asked again after 120 s/);
});

test('a near deadline asks for on-demand; one that has passed, or is far, does not; nor does it break the budget', () => {
  const of = (inMs: number, within = plain) =>
    decide({ ...calm, demand: wanting(1), earliestDeadline: now + inMs, workerSecondsToday: 3600 }, within);
  assert.equal(of(plain.deadlinePressureMs - 1).start[0]?.market, 'on-demand');
  assert.equal(of(plain.deadlinePressureMs).start[0]?.market, 'spot');
  assert.equal(of(-1).start[0]?.market, 'spot');
  const refused = (ago: number) =>
    decide({ ...calm, demand: wanting(1), earliestDeadline: now + 1, spotRefusals: 2, refusedAt: now - ago }, plain);
  assert.deepEqual(refused(59_999).start, [], 'what was refused is not asked for at every look');
  assert.equal(refused(60_000).start[0]?.market, 'on-demand');
  const broke = of(60_000, { ...plain, maxWorkerHoursPerDay: 1 });
  assert.deepEqual(broke.start, []);
  assert.match(broke.breaker ?? '', /1\.0 of 1 worker-hours/);
});

test('a spot worker that is never placed is replaced by an on-demand one; of an on-demand one nobody knows better', () => {
  const replacing = (market: 'spot' | 'on-demand') =>
    decide(
      { ...calm, demand: wanting(4), workers: [launched({ market, startedAt: now - plain.startWithinMs })] },
      plain,
    );
  assert.deepEqual(replacing('spot').start, [{ market: 'on-demand', count: 1 }]);
  assert.deepEqual(replacing('on-demand').start, [{ market: 'spot', count: 1 }]);
});

test('the budget keeps back what workers that come will take', () => {
  const within = { ...plain, maxWorkerHoursPerDay: 0.5, leastWorkerSeconds: 600 };
  const count = (workers: LaunchedWorker[]) => started(decide({ ...calm, demand: wanting(100), workers }, within));
  assert.equal(count([]), 3);
  assert.equal(count([launched({})]), 2);
  assert.equal(count([launched({}), launched({}), launched({ state: 'running' })]), 0);
});
