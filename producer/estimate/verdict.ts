import type { Span } from './span.ts';

export interface Verdict {
  /** `fits`: also where there is nothing to hold it against. `unknown`: a limit lies between the bounds, or a bound is not known. */
  readonly verdict: 'fits' | 'over_quota' | 'too_late' | 'too_expensive' | 'unknown';
  readonly reason: string;
}

/** Jobs of the caller that have not ended, and how many it may have. */
export interface Quota {
  readonly openJobs: number;
  readonly most: number;
}

export interface Held {
  /** Null where nobody counts. */
  readonly quota: Quota | null;
  readonly etaSeconds: Span | null;
  readonly costUsd: Span | null;
  readonly deadlineSeconds: number | null;
  readonly maxCostUsd: number | null;
}

/** What certainly does not fit says so before what nobody knows. */
export function verdictOf({ quota, etaSeconds, costUsd, deadlineSeconds, maxCostUsd }: Held): Verdict {
  const jobs = quota === null ? [] : [`${quota.openJobs} of the ${quota.most} jobs that may be open are`];
  if (quota !== null && quota.openJobs >= quota.most) {
    return { verdict: 'over_quota', reason: `${jobs.join()}: it would be refused now` };
  }
  const time = against(etaSeconds, deadlineSeconds, {
    limit: `--expires-in ends it after ${deadlineSeconds} s`,
    takes: 'the time to its end is',
    unit: 's',
    digits: 0,
  });
  const cost = against(costUsd, maxCostUsd, {
    limit: `--max-cost is ${maxCostUsd} USD`,
    takes: 'the price is',
    unit: 'USD',
    digits: 4,
  });
  if (time?.stands === 'beyond') return { verdict: 'too_late', reason: time.reason };
  if (cost?.stands === 'beyond') return { verdict: 'too_expensive', reason: cost.reason };
  const unknown = [time, cost].filter((one) => one?.stands === 'unknown').map((one) => one!.reason);
  if (unknown.length > 0) return { verdict: 'unknown', reason: unknown.join('; ') };
  const within = [...[time, cost].filter((one) => one !== null).map(({ reason }) => reason), ...jobs];
  if (within.length > 0) return { verdict: 'fits', reason: within.join('; ') };
  return {
    verdict: 'fits',
    reason: 'there is nothing to hold it against: neither --expires-in nor --max-cost was given',
  };
}

interface Words {
  readonly limit: string;
  readonly takes: string;
  readonly unit: string;
  readonly digits: number;
}

/** Null where there is no limit. */
function against(span: Span | null, limit: number | null, words: Words) {
  if (limit === null) return null;
  const { takes, unit, digits } = words;
  const told = (n: number) => `${n.toFixed(digits)} ${unit}`;
  if (span === null) return { stands: 'unknown', reason: `${takes} not known, and ${words.limit}` } as const;
  if (span.low > limit)
    return { stands: 'beyond', reason: `${takes} at least ${told(span.low)}, and ${words.limit}` } as const;
  if (span.high === null) {
    return {
      stands: 'unknown',
      reason: `${takes} at least ${told(span.low)} and not known at most, and ${words.limit}`,
    } as const;
  }
  if (span.high > limit) {
    return {
      stands: 'unknown',
      reason: `${takes} from ${told(span.low)} to ${told(span.high)}, and ${words.limit}`,
    } as const;
  }
  return { stands: 'within', reason: `${takes} at most ${told(span.high)}, and ${words.limit}` } as const;
}
