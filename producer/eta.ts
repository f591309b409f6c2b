import { type AskTask, cachedTokensOf, type Head, type JobSpec, type Progress } from '@longhaul/core/contracts';

/** What is known of how far a job is and how long it still takes. Null is unknown. */
export interface Estimate {
  /** Share of the running phase that is done, 0 to 1. */
  readonly fraction: number | null;
  /** Seconds to the end of the running phase; in the generate phase an upper bound (it may stop earlier). */
  readonly etaSeconds: number | null;
}

/**
 * The read phase is measured in document bytes, since the number of tokens is known only at its end; the bytes left turn
 * into seconds at the bytes a token and the tokens a second seen so far.
 */
export function estimate(progress: Progress, spec: JobSpec): Estimate {
  if (progress.phase === 'generate') {
    if (spec.task.kind === 'ask') return answering(progress, spec.task);
    if (spec.task.kind !== 'generate') return { fraction: 1, etaSeconds: 0 };
    const left = Math.max(0, spec.task.maxNewTokens - progress.outputTokens);
    return { fraction: 1 - left / spec.task.maxNewTokens, etaSeconds: quotient(left, progress.tokensPerSecond) };
  }
  if (progress.totalBytes === null) return { fraction: null, etaSeconds: null };
  if (progress.totalBytes === 0) return { fraction: 1, etaSeconds: 0 };
  const left = Math.max(0, progress.totalBytes - progress.bytes);
  const tokens = progress.tokens - progress.cachedTokens;
  const bytesPerSecond =
    tokens <= 0 ? 0 : ((progress.bytes - progress.cachedBytes) / tokens) * progress.tokensPerSecond;
  return {
    fraction: Math.min(1, progress.bytes / progress.totalBytes),
    etaSeconds: quotient(left, bytesPerSecond),
  };
}

/** Nobody knows how long answers get, nor how many questions a file has. */
function answering({ outputTokens: answers }: Progress, { questions }: AskTask): Estimate {
  if (questions.kind === 'stored') return { fraction: null, etaSeconds: null };
  return { fraction: answers / questions.questions.length, etaSeconds: null };
}

function quotient(left: number, perSecond: number): number | null {
  if (left === 0) return 0;
  return perSecond > 0 ? left / perSecond : null;
}

/** What the ledger alone tells, for when the live side is away. The speed is unknown, so it is 0. */
export function committedProgress(head: Head): Progress {
  return {
    epoch: head.epoch,
    worker: head.owner ?? '',
    phase: head.position.inputTokens === null ? 'read' : 'generate',
    tokens: head.position.tokenOffset,
    bytes: head.position.inputByteOffset,
    totalBytes: null,
    outputTokens:
      head.position.nextToken === null && head.position.answered === undefined ? 0 : head.position.outputCount,
    tokensPerSecond: 0,
    cachedTokens: cachedTokensOf(head),
    cachedBytes: head.position.cached?.bytes ?? 0,
    committedTokens: head.position.tokenOffset,
    commits: head.stats.commits,
    updatedAt: head.updatedAt,
  };
}
