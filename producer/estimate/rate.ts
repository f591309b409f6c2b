import type { JobResult, Task } from '@longhaul/core/contracts';

/** Tokens a second of one worker, and where the figure comes from. */
export interface Rate {
  readonly tokensPerSecond: number;
  /**
   *   named       the caller's own word
   *   live        the median of the jobs that workers of the model read right now
   *   finished    the median of jobs of the model that read and wrote nothing
   *   at-least    jobs of the model that read and wrote in one figure: no slower than this
   */
  readonly source: 'named' | 'live' | 'finished' | 'at-least';
  /** Jobs behind the figure; 0 where it is named. */
  readonly jobs: number;
}

/** Both null where nothing is known. Reading is done in chunks and writing token by token, so they differ a lot. */
export interface Rates {
  readonly read: Rate | null;
  readonly write: Rate | null;
}

export interface RateFacts {
  readonly named: { readonly read: number | null; readonly write: number | null };
  /** Tokens a second, of each job that is being read now. */
  readonly live: readonly number[];
  /** Succeeded jobs of the model. */
  readonly finished: readonly JobResult[];
}

export function ratesOf({ named, live, finished }: RateFacts, task: Task['kind']): Rates {
  return {
    read: namedRate(named.read) ?? medianRate('live', live) ?? readingOf(finished),
    write: namedRate(named.write) ?? writingOf(finished, task),
  };
}

/** `usage.inputTokens` leaves out what came with a state, so a job that went on from one says the speed of its own reading. */
function readingOf(finished: readonly JobResult[]): Rate | null {
  const speeds = (jobs: readonly JobResult[]) => jobs.map((job) => perSecond(job.usage.inputTokens, job));
  const pure = finished.filter(({ usage }) => usage.outputTokens === 0);
  return medianRate('finished', speeds(pure)) ?? floorRate(speeds(finished));
}

/** The time of a job holds its reading too, so each is a floor, and the highest floor says the most. */
function writingOf(finished: readonly JobResult[], task: Task['kind']): Rate | null {
  const wrote = finished.filter(({ usage }) => usage.outputTokens > 0);
  // Answers are written many at a time: they say nothing of one text, while one text is a floor of answers.
  const alike = wrote.filter((job) => job.task === task);
  const jobs = task === 'ask' && alike.length === 0 ? wrote : alike;
  return floorRate(jobs.map((job) => perSecond(job.usage.outputTokens, job)));
}

/** `busySeconds` is committed time, and `usage` is committed work: a lost attempt is in neither. */
function perSecond(tokens: number, { stats }: JobResult): number {
  return stats.busySeconds > 0 ? tokens / stats.busySeconds : 0;
}

function namedRate(tokensPerSecond: number | null): Rate | null {
  return tokensPerSecond === null ? null : { tokensPerSecond, source: 'named', jobs: 0 };
}

function medianRate(source: 'live' | 'finished', speeds: readonly number[]): Rate | null {
  const known = speeds.filter((speed) => speed > 0).sort((a, b) => a - b);
  if (known.length === 0) return null;
  const middle = (known[(known.length - 1) >> 1]! + known[known.length >> 1]!) / 2;
  return { tokensPerSecond: middle, source, jobs: known.length };
}

function floorRate(speeds: readonly number[]): Rate | null {
  const known = speeds.filter((speed) => speed > 0);
  if (known.length === 0) return null;
  return { tokensPerSecond: Math.max(...known), source: 'at-least', jobs: known.length };
}
