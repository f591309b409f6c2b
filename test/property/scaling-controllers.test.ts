import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, systemClock } from '@longhaul/core/contracts';
import type { ObjectStore } from '@longhaul/core/ledger';
import type { QueueDemand } from '@longhaul/core/queue';
import { readScalingRecord } from '@longhaul/core/scaling';
import fc from 'fast-check';
import type { SweptQueue } from '../../infra/controller/ports.ts';
import { decide, defaultTuning } from '../../infra/controller/scaling/policy.ts';
import { Scaler } from '../../infra/controller/scaling/scaler.ts';
import { FakePlatform } from '../support/fake-platform.ts';
import { MemoryStore } from '../support/memory-store.ts';

const none: QueueDemand = { waiting: 0, prioritized: 0, delayedDue: 0, delayedLater: 0, held: 0, orphaned: 0 };

class Killed extends Error {}

/** A store whose user is killed at a call, before it took effect or behind it; every call takes a moment. */
function mortal(store: MemoryStore, callsLeft: number, behind: boolean): ObjectStore {
  let left = callsLeft;
  return new Proxy(store, {
    get(target, name) {
      const found = Reflect.get(target, name, target) as unknown;
      if (typeof found !== 'function' || !['get', 'putIfAbsent', 'putIfMatch'].includes(String(name))) return found;
      return async (...args: unknown[]) => {
        for (let i = 0; i < 3; i++) await new Promise(setImmediate);
        left -= 1;
        if (left < 0 && !behind) throw new Killed();
        const answer = await found.apply(target, args);
        if (left < 0) throw new Killed();
        return answer;
      };
    },
  });
}

const Turn = fc.record({
  /** Of each controller: the store call at which it is killed, if it is. */
  lives: fc.array(fc.record({ calls: fc.integer({ min: 0, max: 12 }), behind: fc.boolean() }), {
    minLength: 1,
    maxLength: 4,
  }),
  loseAnswers: fc.integer({ min: 0, max: 1 }),
  refuseConnections: fc.integer({ min: 0, max: 1 }),
  passMs: fc.integer({ min: 0, max: 8000 }),
});

test('controllers side by side, killed at any call, with answers lost: never a worker too many, and at last enough', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(Turn, { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 1, max: 12 }),
      async (turns, jobs) => {
        let ms = Date.parse('2026-01-01T00:00:00Z');
        const clock: Clock = { ...systemClock, now: () => ms, date: () => new Date(ms) };
        const store = new MemoryStore();
        const platform = new FakePlatform(() => ms);
        const demand = { ...none, prioritized: jobs };
        const controller = (of: ObjectStore) =>
          new Scaler({
            queues: { models: () => ['m'], of: () => ({ demand: async () => demand }) as unknown as SweptQueue },
            fleet: { workers: async () => [] },
            ...{ launcher: platform, policy: decide, store: of, clock, log: () => {}, models: ['m'] },
            limits: { ...defaultTuning, slotsPerWorker: 2, maxWorkers: 100, maxWorkerHoursPerDay: null },
            earliestDeadline: () => null,
            intentPatienceMs: 3000,
          });
        const needed = Math.ceil(jobs / 2);
        for (const { lives, loseAnswers, refuseConnections, passMs } of turns) {
          Object.assign(platform, { loseAnswers, refuseConnections });
          const rounds = lives.map(({ calls, behind }) => controller(mortal(store, calls, behind)).round());
          for (const end of await Promise.allSettled(rounds))
            if (end.status === 'rejected') assert.ok(end.reason instanceof Killed, String(end.reason));
          assert.ok(platform.workers.size <= needed, `${platform.workers.size} workers, ${needed} needed`);
          ms += passMs;
        }
        Object.assign(platform, { loseAnswers: 0, refuseConnections: 0 });
        const heir = controller(store);
        for (let i = 0; i < 3; i++) {
          ms += 4000;
          await heir.round();
        }
        assert.equal(platform.workers.size, needed);
        const { record } = await readScalingRecord({ store, clock: () => clock.date() });
        assert.equal(record.models['m']?.intent ?? null, null);
        assert.deepEqual(Object.keys(record.workers).sort(), [...platform.workers.keys()].sort());
      },
    ),
    { numRuns: 150 },
  );
});
