import type { Arrival } from './arrival.ts';
import type { Assumptions } from './parameters.ts';

/** Where a job is; `held` also while the lock of a worker that is gone has not run out. */
export type Place = 'coming' | 'line' | 'front' | 'held' | 'orphaned' | 'ended';

/** A job of the simulated day. Work is in tokens read, or what takes as long as one. Times in seconds of the day. */
export interface Job {
  readonly arrival: Arrival;
  readonly work: number;
  place: Place;
  done: number;
  committed: number;
  /** Of this attempt, since its last commit. */
  sinceCommit: { work: number; seconds: number };
  /** Counts the attempts: what was written down for an earlier one is void. */
  attempt: number;
  /** Progress begins after the job was opened. */
  open: boolean;
  firstChunkAt: number | null;
  endedAt: number | null;
  recomputed: number;
}

export function jobOf(arrival: Arrival, a: Assumptions): Job {
  const written = (arrival.written ?? 0) + (arrival.questions ?? 0) * a.answerTokens;
  return {
    arrival,
    work: Math.max(1, arrival.tokens + written * a.writtenCost),
    place: 'coming',
    done: 0,
    committed: 0,
    sinceCommit: { work: 0, seconds: 0 },
    attempt: 0,
    open: false,
    firstChunkAt: null,
    endedAt: null,
    recomputed: 0,
  };
}

/** Reads for `seconds` at `rate`, committing when either bound of the interval is reached. */
export function progress(job: Job, seconds: number, rate: number, a: Assumptions): void {
  for (let left = seconds; left > 0; ) {
    const since = job.sinceCommit;
    const step = Math.min(left, (a.commitTokens - since.work) / rate, a.commitSeconds - since.seconds);
    job.done += step * rate;
    since.work += step * rate;
    since.seconds += step;
    left -= step;
    if (a.commitTokens - since.work < 1e-6 || a.commitSeconds - since.seconds < 1e-9) commit(job);
  }
}

export function commit(job: Job): void {
  job.committed = job.done;
  job.sinceCommit = { work: 0, seconds: 0 };
}

/** What was read since the last commit is read again. */
export function loseUncommitted(job: Job): void {
  job.recomputed += job.done - job.committed;
  job.done = job.committed;
  job.sinceCommit = { work: 0, seconds: 0 };
}
