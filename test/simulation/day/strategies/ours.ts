import { decide } from '../../../../infra/controller/scaling/policy.ts';
import type { LaunchedWorker, ScalingLimits, ScalingMoment } from '../../../../infra/controller/scaling/port.ts';
import type { Assumptions } from '../parameters.ts';
import { hasSlot, paidSeconds } from '../worker.ts';
import type { Strategy, World } from '../world.ts';

/** The controller's own policy, and workers that end by themselves. */
export function ours(a: Assumptions): Strategy {
  return {
    name: 'longhaul',
    reaper: true,
    idleExitSeconds: a.idleExitSeconds,
    begin: (world) => {
      const refused = { spot: 0, at: null as number | null };
      const onRefused = (market: 'spot' | 'on-demand') => {
        if (market === 'spot') refused.spot += 1;
        refused.at = world.now * 1000;
      };
      // A placement that the platform gives up is a refusal that came late.
      world.onUnplaced = onRefused;
      world.every(a.scaleSeconds, () => {
        const { start } = decide(momentOf(world, refused.spot, refused.at), limitsOf(a));
        for (const { market, count } of start) {
          for (let i = 0; i < count; i++) {
            if (world.start(market) === null) {
              onRefused(market);
              break;
            }
            if (market === 'spot') refused.spot = 0;
          }
        }
      });
    },
    end: () => undefined,
  };
}

function limitsOf(a: Assumptions): ScalingLimits {
  return {
    slotsPerWorker: a.slots,
    maxWorkers: a.maxWorkers,
    maxWorkerHoursPerDay: null,
    onDemandAfterRefusals: a.onDemandAfterRefusals,
    deadlinePressureMs: a.deadlinePressureSeconds * 1000,
    refusalPauseMs: a.refusalPauseSeconds * 1000,
    startWithinMs: a.startWithinSeconds * 1000,
    leastWorkerSeconds: a.leastWorkerSeconds,
  };
}

function momentOf(world: World, spotRefusals: number, refusedAt: number | null): ScalingMoment {
  const { a, now, living } = world;
  const { fresh, returned, held, orphaned } = world.census();
  const serving = living.filter(({ state }) => state === 'serving');
  const deadlines = [...world.line.waiting()].flatMap(({ arrival: { at, deadline } }) =>
    deadline === undefined ? [] : [at + deadline],
  );
  return {
    now: now * 1000,
    demand: {
      model: 'm',
      demand: fresh + returned + orphaned,
      waiting: returned,
      prioritized: fresh,
      delayedDue: 0,
      delayedLater: 0,
      held,
      orphaned,
    },
    workers: living.map(
      ({ serial, market, state, startedAt }): LaunchedWorker => ({
        id: String(serial),
        model: 'm',
        market,
        state: state === 'starting' ? 'starting' : 'running',
        startedAt: startedAt * 1000,
      }),
    ),
    freeSlots: serving
      .filter((worker) => hasSlot(worker, a.slots))
      .reduce((sum, { hands }) => sum + a.slots - hands.size, 0),
    workersHeard: serving.length,
    earliestDeadline: deadlines.length === 0 ? null : Math.min(...deadlines) * 1000,
    spotRefusals,
    refusedAt,
    workerSecondsToday: world.workers.reduce((sum, worker) => sum + paidSeconds(worker, now), 0),
  };
}
