import type { Market, ScalingDecision, ScalingLimits, ScalingMoment, ScalingPolicy } from './port.ts';

/** Limits that are no deployment's own; docs/decisions/0036-workers-by-slots-that-are-wanting.md says where they come from. */
export const defaultTuning = {
  onDemandAfterRefusals: 3,
  deadlinePressureMs: 10 * 60_000,
  refusalPauseMs: 60_000,
  startWithinMs: 10 * 60_000,
  leastWorkerSeconds: 600,
} as const satisfies Partial<ScalingLimits>;

/** A pause doubles with each refusal up to this many times the first. */
const longestPause = 10;

/**
 * Starts as many workers as the jobs that want a slot would fill, beyond the slots that are free and those that come:
 *
 *   ceil((waiting + prioritized + delayed and due + orphaned − free − coming) / slots a worker)
 *
 * Coming are the slots of workers that were asked for and are not heard of yet, so none is started twice for one job. One
 * that stays silent for too long no longer counts as coming, but still as one of the most workers: it may yet run.
 */
export const decide: ScalingPolicy = (moment, limits) => {
  const { demand, workers, freeSlots } = moment;
  const { coming, stuck } = comingWorkers(moment, limits);
  const wanting = demand.demand - freeSlots - coming * limits.slotsPerWorker;
  const seen = `${jobs(demand.demand)} for ${freeSlots} free slots and ${coming} workers to come`;
  if (wanting <= 0) return nothing(demand.demand === 0 ? 'no job waits' : `${seen}: enough`);

  const need = Math.ceil(wanting / limits.slotsPerWorker);
  const room = Math.max(0, limits.maxWorkers - workers.length);
  if (room === 0)
    return nothing(`${seen}: ${need} more wanted, but ${workers.length} of ${limits.maxWorkers} workers are there`);

  const affordable = affordableStarts(moment, limits, coming);
  if (affordable === 0) {
    const breaker = `${hours(moment.workerSecondsToday)} of ${limits.maxWorkerHoursPerDay} worker-hours of today are spent or spoken for`;
    return { start: [], reason: `${seen}: ${need} more wanted, but ${breaker}`, breaker };
  }

  const choice = chooseMarket(moment, limits, stuck);
  if (choice.market === null) return nothing(`${seen}: ${need} more wanted; ${choice.why}`);
  const count = Math.min(need, room, affordable);
  const cut =
    count === need
      ? ''
      : `, of ${need} wanted: ${affordable < room ? 'the budget' : 'the most workers'} allows no more`;
  const why = choice.why === null ? '' : ` (${choice.why})`;
  return {
    start: [{ market: choice.market, count }],
    reason: `${seen}: ${count} more on ${choice.market}${why}${cut}`,
    breaker: null,
  };
};

function nothing(reason: string): ScalingDecision {
  return { start: [], reason, breaker: null };
}

/**
 * Workers that were started and are not heard of yet: those that the platform has not placed, and those that run and load.
 * Which of the running ones were heard of is not known, only how many; the youngest are those that load.
 */
function comingWorkers({ now, workers, workersHeard }: ScalingMoment, { startWithinMs }: ScalingLimits) {
  const young = workers.filter(({ startedAt }) => now - startedAt < startWithinMs);
  const starting = young.filter(({ state }) => state === 'starting').length;
  const running = workers.filter(({ state }) => state === 'running').length;
  const loading = Math.min(young.length - starting, Math.max(0, running - workersHeard));
  const stuck = workers.filter(
    ({ state, market, startedAt }) => state === 'starting' && market === 'spot' && now - startedAt >= startWithinMs,
  ).length;
  return { coming: starting + loading, stuck };
}

/** Starts that the budget of the day holds, each with the least that a worker takes; those that come have theirs kept back. */
function affordableStarts(moment: ScalingMoment, limits: ScalingLimits, coming: number): number {
  const { maxWorkerHoursPerDay: most, leastWorkerSeconds: least } = limits;
  if (most === null) return Number.POSITIVE_INFINITY;
  return Math.max(0, Math.floor((most * 3600 - moment.workerSecondsToday) / least) - coming);
}

interface Choice {
  /** Null: nothing is asked for now. */
  readonly market: Market | null;
  readonly why: string | null;
}

/**
 *   spot ── refused ──▶ pause, doubled each time ──▶ spot … ── refused too often ──▶ on-demand
 *    ▲                                                                                    │
 *    └──────────────────── the longest pause since the last refusal ◀─────────────────────┘
 *
 * A deadline that is near leaves no time for this: on-demand at once, and after a refusal of it the first pause alone.
 */
function chooseMarket(moment: ScalingMoment, limits: ScalingLimits, stuck: number): Choice {
  const { now, spotRefusals, refusedAt, earliestDeadline } = moment;
  const { onDemandAfterRefusals, refusalPauseMs, deadlinePressureMs } = limits;
  const sinceRefusal = refusedAt === null ? Number.POSITIVE_INFINITY : now - refusedAt;
  const after = (pauseMs: number, market: Market, why: string | null): Choice =>
    sinceRefusal >= pauseMs
      ? { market, why }
      : { market: null, why: `refused ${seconds(sinceRefusal)} ago, asked again after ${seconds(pauseMs)}` };

  const left = earliestDeadline === null ? Number.POSITIVE_INFINITY : earliestDeadline - now;
  // A deadline that has passed cannot be met by anything that is started.
  if (left > 0 && left < deadlinePressureMs)
    return after(refusalPauseMs, 'on-demand', `a deadline in ${seconds(left)}`);
  if (stuck > 0) return after(refusalPauseMs, 'on-demand', `${stuck} on spot are not placed`);
  const longest = refusalPauseMs * longestPause;
  if (spotRefusals >= onDemandAfterRefusals) {
    if (sinceRefusal >= longest) return { market: 'spot', why: 'refused before, tried again' };
    return after(refusalPauseMs, 'on-demand', `spot was refused ${spotRefusals} times`);
  }
  const doublings = Math.max(0, spotRefusals - 1);
  return after(Math.min(refusalPauseMs * 2 ** doublings, longest), 'spot', null);
}

const jobs = (count: number) => (count === 1 ? '1 job wants a slot' : `${count} jobs want slots`);
const seconds = (ms: number) => `${Math.round(ms / 1000)} s`;
const hours = (workerSeconds: number) => (workerSeconds / 3600).toFixed(1);
