import { RejectedJob } from '../contracts/errors.ts';
import { cachedTokensOf, type Head, type SegmentRun } from '../contracts/head.ts';
import { limits } from '../contracts/limits.ts';
import type { CommitPlan } from './commit-plan.ts';
import { type LedgerParts, START } from './head-object.ts';
import { marked, whereIs } from './timeline.ts';

/** A checkpoint that cannot be used, and why. */
export interface UnusableCheckpoint {
  readonly key: string;
  readonly message: string;
}

/**
 * The commit that goes back to where the checkpoint before the newest one stood, or, where the head names none, to the
 * beginning. Work is done twice, but the engine is deterministic: the same records come again behind that point.
 *
 * A job that gets beyond every place where its checkpoints failed may go back as often as it must. One that does not,
 * `limits.fallbacks` times in a row, writes states that cannot be read: `checkpoint_corrupt`.
 */
export function planFallback(parts: LedgerParts, head: Head, unusable: UnusableCheckpoint): CommitPlan {
  const at = parts.clock().toISOString();
  const from = head.position.tokenOffset;
  const before = head.fallback;
  const beyond = before === null || from > before.furthest;
  const inRow = beyond ? 1 : before.inRow + 1;
  const furthest = beyond ? from : before.furthest;
  if (inRow > limits.fallbacks) {
    throw new RejectedJob(
      'checkpoint_corrupt',
      `${unusable.message}; ${limits.fallbacks} checkpoints in a row before it, none beyond token ${furthest}, could not be used either, the last of them ${before?.key}`,
    );
  }
  const { restore } = head;
  const point =
    restore === null
      ? START
      : {
          position: restore.position,
          checkpoint: restore.checkpoint,
          restore: null,
          segments: segmentsUpTo(head.segments, restore.seq),
          outputSha256: restore.outputSha256,
          score: restore.score,
        };
  const to = point.position.tokenOffset;
  // What came from a state or the prefix cache was not read before.
  const readAgain = from - Math.max(to, cachedTokensOf(head));
  const message = unusable.message.slice(0, 1024);
  const next: Head = {
    ...head,
    ...point,
    seq: head.seq + 1,
    nonce: parts.nonce(),
    // Not set back: to go back is no progress.
    stuckAttempts: head.stuckAttempts,
    stats: {
      ...head.stats,
      fallbacks: head.stats.fallbacks + 1,
      recomputedTokens: head.stats.recomputedTokens + readAgain,
    },
    fallback: { key: unusable.key, message, at, fromTokenOffset: from, toTokenOffset: to, furthest, inRow },
    timeline: marked(head.timeline, { kind: 'fallback', ...whereIs({ ...head, position: point.position }, at) }),
    updatedAt: at,
  };
  return { kind: 'fallback', position: next.position, objects: [], next };
}

/** The runs without the segments of commits after `seq`. */
function segmentsUpTo(runs: readonly SegmentRun[], seq: number): SegmentRun[] {
  return runs.filter((run) => run.fromSeq <= seq).map((run) => ({ ...run, toSeq: Math.min(run.toSeq, seq) }));
}
