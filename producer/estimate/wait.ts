import type { JobId } from '@longhaul/core/contracts';
import type { Rates } from './rate.ts';
import { nothing, plus, type Span } from './span.ts';
import { secondsOf } from './time.ts';

/** What is left of a job that runs, or that is taken before ours. */
export interface JobAhead {
  readonly jobId: JobId;
  /** Seconds to the end of its reading, as its worker shows them now. */
  readonly readSeconds: number | null;
  /** Tokens that it has still to read, where it has seen its end. */
  readonly readTokens: number | null;
  /** Bytes that it has still to read, where its tokens are not known. */
  readonly readBytes: number | null;
  /** Tokens that it has still to write, at most; null: not known. */
  readonly writeTokens: number | null;
}

export interface Line {
  readonly ahead: readonly JobAhead[];
  /** Workers of the model that show progress now. */
  readonly workers: number;
  /** There are more open jobs than were looked at, or some that cannot be read. */
  readonly more: boolean;
  /** The live side did not answer, or none is known: what runs is seen in the ledger alone. */
  readonly away: boolean;
}

export interface Wait {
  /** The work of the jobs ahead over the workers seen. */
  readonly seconds: Span;
  /** Jobs of whose work nothing, or only a part, is known: `seconds.high` is null for them. */
  readonly unknown: readonly JobId[];
}

/** `tokensPerByte` turns bytes of documents that no one has counted into tokens; null where there is no such figure. */
export function waitOf({ ahead, workers, more }: Omit<Line, 'away'>, rates: Rates, tokensPerByte: number | null): Wait {
  const work = ahead.map((job) => leftOf(job, rates, tokensPerByte));
  const unknown = ahead.filter((_, i) => work[i]?.high == null).map(({ jobId }) => jobId);
  if (ahead.length === 0) return { seconds: more ? { low: 0, high: null } : nothing, unknown };
  if (workers === 0) return { seconds: { low: 0, high: null }, unknown };
  const { low, high } = work.reduce<Span>((sum, one) => plus(sum, one ?? { low: 0, high: null }), nothing);
  return { seconds: { low: low / workers, high: high === null || more ? null : high / workers }, unknown };
}

function leftOf(job: JobAhead, rates: Rates, tokensPerByte: number | null): Span | null {
  if (job.readSeconds !== null) {
    const writing = secondsOf(0, job.writeTokens, rates);
    return writing === null ? null : plus({ low: job.readSeconds, high: job.readSeconds }, writing);
  }
  const guessed = job.readBytes === null || tokensPerByte === null ? null : job.readBytes * tokensPerByte;
  return secondsOf(job.readTokens ?? (job.readBytes === 0 ? 0 : guessed), job.writeTokens, rates);
}
