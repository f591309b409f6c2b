import type { Arrival } from './arrival.ts';
import type { Job } from './job.ts';
import type { Assumptions } from './parameters.ts';
import { paidSeconds } from './worker.ts';
import { daySeconds, type Strategy, World } from './world.ts';

/** What one simulated day came to. Seconds, dollars, tokens. */
export interface Measures {
  readonly cost: number;
  readonly workerHours: number;
  readonly spotShare: number;
  readonly waitP50: number;
  readonly waitP95: number;
  /** The 95th percentile of each tenant's waits, and of these the median: no burst of one tenant hides the others. */
  readonly tenantWaitP95: number;
  readonly completionP50: number;
  readonly completionP95: number;
  /** Of the paid seconds, those in which no job made progress. */
  readonly idleShare: number;
  readonly starts: number;
  readonly interruptions: number;
  readonly recomputed: number;
  readonly missedDeadlines: number;
  /** Jobs that have not ended three days after the day began. */
  readonly unended: number;
}

/** One moment of a day: jobs that wait and are in hand, paid workers by market. */
export interface Sample {
  readonly at: number;
  readonly waiting: number;
  readonly held: number;
  readonly spot: number;
  readonly onDemand: number;
}

export interface Day {
  readonly measures: Measures;
  readonly samples: readonly Sample[];
  readonly world: World;
}

export const sampleSeconds = 120;

export function playDay(arrivals: readonly Arrival[], strategy: Strategy, a: Assumptions, seed: number): Day {
  const world = new World(arrivals, strategy, a, seed);
  const samples: Sample[] = [];
  const sample = () => {
    const { fresh, returned, held, orphaned } = world.census();
    const paid = world.workers.filter(
      ({ paidFrom, paidUntil }) => paidFrom !== null && (paidUntil === null || paidUntil > world.now),
    );
    const spot = paid.filter(({ market }) => market === 'spot').length;
    const waiting = fresh + returned + orphaned;
    samples.push({ at: world.now, waiting, held, spot, onDemand: paid.length - spot });
    if (world.now + sampleSeconds <= daySeconds) world.agenda.in(sampleSeconds, sample);
  };
  sample();
  world.run();
  return { measures: measure(world), samples, world };
}

function measure(world: World): Measures {
  const { a, jobs, workers } = world;
  const seconds = workers.map((worker) => ({
    market: worker.market,
    paid: paidSeconds(worker, Number.POSITIVE_INFINITY),
  }));
  const paid = sum(seconds.map((one) => one.paid));
  const spot = sum(seconds.filter(({ market }) => market === 'spot').map((one) => one.paid));
  const waits = jobs.flatMap(({ firstChunkAt, arrival }) => (firstChunkAt === null ? [] : [firstChunkAt - arrival.at]));
  const completions = jobs.flatMap(({ endedAt, arrival }) => (endedAt === null ? [] : [endedAt - arrival.at]));
  const late = jobs.filter(
    ({ endedAt, arrival: { at, deadline } }) =>
      deadline !== undefined && (endedAt ?? Number.POSITIVE_INFINITY) > at + deadline,
  );
  return {
    cost: (spot * a.spotPrice + (paid - spot) * a.onDemandPrice) / 3600,
    workerHours: paid / 3600,
    spotShare: paid === 0 ? 0 : spot / paid,
    waitP50: quantile(waits, 0.5),
    waitP95: quantile(waits, 0.95),
    tenantWaitP95: tenantWaitP95(jobs),
    completionP50: quantile(completions, 0.5),
    completionP95: quantile(completions, 0.95),
    idleShare: paid === 0 ? 0 : 1 - sum(workers.map(({ busySeconds }) => busySeconds)) / paid,
    starts: world.starts,
    interruptions: workers.filter(({ interrupted }) => interrupted).length,
    recomputed: sum(jobs.map(({ recomputed }) => recomputed)),
    missedDeadlines: late.length,
    unended: jobs.filter(({ endedAt }) => endedAt === null).length,
  };
}

function tenantWaitP95(jobs: readonly Job[]): number {
  const waits = new Map<string, number[]>();
  for (const { firstChunkAt, arrival } of jobs) {
    if (firstChunkAt === null) continue;
    const tenant = waits.get(arrival.tenant) ?? [];
    tenant.push(firstChunkAt - arrival.at);
    waits.set(arrival.tenant, tenant);
  }
  return quantile(
    [...waits.values()].map((one) => quantile(one, 0.95)),
    0.5,
  );
}

const sum = (values: readonly number[]) => values.reduce((total, one) => total + one, 0);

/** The value that a share of all does not exceed; 0 of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((x, y) => x - y);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
}
