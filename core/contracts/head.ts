import { z } from 'zod';
import { ErrorCode } from './errors.ts';
import { JobId } from './job.ts';
import { limits } from './limits.ts';
import { SourcePin } from './source.ts';
import { StatePoint } from './state-name.ts';
import { JobStatus, Timeline } from './timeline.ts';

export { JobStatus };

const count = z.number().int().nonnegative();
export const Sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** Whether nothing more happens to a job of this status, unless it is redriven. */
export function hasEnded(status: JobStatus): boolean {
  return status !== 'queued' && status !== 'running';
}

/** The version of a named state that a job began from, found by its first owner. */
export const StartPin = StatePoint.extend({
  /** Digest of its tensors. */
  stateSha256: Sha256,
  /** Tokens that it has read: the job's first one is at this offset. */
  tokenOffset: count,
  /** Decompressed bytes that it has read. */
  inputBytes: count,
});
export type StartPin = z.infer<typeof StartPin>;

/** Everything that must stay the same for a resume to give the same bytes. Fixed by the first owner. */
export const Pins = z.strictObject({
  /** Null where the job has no document. */
  source: SourcePin.nullable(),
  /** The stored questions of an `ask` job. */
  questions: SourcePin.nullable().default(null),
  from: StartPin.nullable().default(null),
  modelDigest: Sha256,
  tokenizerDigest: Sha256,
  /** Tokens a chunk; commits of the read phase stand on its multiples. */
  chunkTokens: count,
  /** Device type, engine version, weights, activations, e.g. `cpu/3/as-stored/matched`: bits are promised within one. */
  engine: z.string().min(1).max(64),
});
export type Pins = z.infer<typeof Pins>;

/** `ask`: sums over the answers committed, and where the next question stands. */
export const Answered = z.strictObject({
  /** Tokens of their questions. */
  promptTokens: count,
  outputTokens: count,
  /** Those that are error records. */
  failed: count,
  /** Bytes of the stored questions that lie before the next one. */
  questionOffset: count,
});
export type Answered = z.infer<typeof Answered>;

/** Tokens that came from the prefix cache, and the document's bytes before its text cursor. */
export const CachedPrefix = z.strictObject({ tokens: count, bytes: count });
export type CachedPrefix = z.infer<typeof CachedPrefix>;

/** Tokens that a job did not read itself: those of the state it began from, or of the prefix cache. */
export function cachedTokensOf({ pins, position }: Pick<Head, 'pins' | 'position'>): number {
  return (pins?.from?.tokenOffset ?? 0) + (position.cached?.tokens ?? 0);
}

/** How far the committed work goes. `tokenOffset` = N: the state covers tokens [0, N), the next token to feed is N. */
export const Position = z.strictObject({
  tokenOffset: count,
  /** Decompressed document bytes whose tokens are all below N or in the cursor's pending part. */
  inputByteOffset: count,
  /** Opaque to all but the tokenizer: where to read on, pending bytes included. Null once the document is read. */
  textCursor: z.string().max(limits.cursorBytes).nullable(),
  /** Tokens of the input (the state begun from, BOS, document, prompt); null until its end was seen. */
  inputTokens: count.nullable(),
  /** Output records committed: tokens for `generate`, lines for `score`, answers for `ask`. */
  outputCount: count,
  /** `generate`: the token sampled last, which is fed next; null before the first one, and where it was fed. */
  nextToken: count.nullable(),
  /** `ask`, once its document is read. */
  answered: Answered.optional(),
  /** The beginning of the document where it came from the prefix cache: it makes no difference to anything but what was read. */
  cached: CachedPrefix.optional(),
});
export type Position = z.infer<typeof Position>;

export const CheckpointRef = z.strictObject({
  key: z.string(),
  sha256: Sha256,
  bytes: count,
  tokenOffset: count,
  /** Digest of the tensors alone (conv_state then ssm_state): equal for equal states, whoever wrote them. */
  stateSha256: Sha256,
});
export type CheckpointRef = z.infer<typeof CheckpointRef>;

/** Consecutive commits that wrote output under one epoch: their segments are `out/{seq}-{epoch}.jsonl.zst`. */
export const SegmentRun = z.strictObject({ fromSeq: count, toSeq: count, epoch: count });
export type SegmentRun = z.infer<typeof SegmentRun>;

/**
 * Sums carried by the `score` task across commits: f64, added in token order. `line` is the output line that is not
 * full yet: a commit may stand inside a line, since lines follow the document and commits follow the clock. `held`, where
 * texts are told: the bytes, as hex, of a character that the tokens so far have begun and not completed.
 */
export const ScoreTotals = z.strictObject({
  tokens: count,
  nats: z.number(),
  line: z.strictObject({ from: count, scored: count, nats: z.number() }).nullable(),
  held: z
    .string()
    .regex(/^([0-9a-f]{2}){1,3}$/)
    .optional(),
});
export type ScoreTotals = z.infer<typeof ScoreTotals>;

/** Running figures. They describe the run, not the answer, so they may differ between two runs of one job. */
export const RunStats = z.strictObject({
  commits: count,
  /** Times a worker took the job. */
  attempts: count,
  /** Tokens run again after a takeover, as far as the lost worker had reported its progress. */
  recomputedTokens: count,
  checkpointBytes: count,
  /** Seconds that a worker held the job, summed over attempts (committed time only). */
  busySeconds: z.number().nonnegative(),
  /** Times the job was put back after it had ended. */
  redrives: count.default(0),
  /** Times a checkpoint could not be used and the job went back to an earlier point. */
  fallbacks: count.default(0),
});
export type RunStats = z.infer<typeof RunStats>;

/** Why a job stopped for good. */
export const Failure = z.strictObject({ code: ErrorCode, message: z.string().max(4096), at: z.iso.datetime() });
export type Failure = z.infer<typeof Failure>;

/** How an earlier generation of a redriven job had ended; its whole result is still stored. */
export const PastFailure = z.strictObject({ generation: count, failure: Failure.nullable() });
export type PastFailure = z.infer<typeof PastFailure>;

/** Everything that the job stood at when the checkpoint before the newest one was the newest. */
export const RestorePoint = z.strictObject({
  /** The last commit that belongs to it: segments of later ones do not. */
  seq: count,
  checkpoint: CheckpointRef,
  position: Position,
  outputSha256: Sha256,
  score: ScoreTotals.nullable(),
});
export type RestorePoint = z.infer<typeof RestorePoint>;

/** The last checkpoint that could not be used. */
export const Fallback = z.strictObject({
  key: z.string(),
  message: z.string().max(1024),
  at: z.iso.datetime(),
  fromTokenOffset: count,
  /** 0: there was no restore point, and the job began again. */
  toTokenOffset: count,
  /** Furthest `fromTokenOffset` of the falls in a row, and how many they are: a job that gets beyond begins to count anew. */
  furthest: count,
  inRow: count,
});
export type Fallback = z.infer<typeof Fallback>;

/**
 * `head.json`, the only mutable object of a job. Every change is a compare-and-swap on its ETag:
 * `epoch` grows by one at each takeover and fences every older owner, `seq` grows by one at each commit.
 */
export const Head = z.strictObject({
  v: z.literal(1),
  jobId: JobId,
  status: JobStatus,
  /** Grows by one at each redrive; each generation has a result, a cancel mark and index markers of its own. */
  generation: count.default(0),
  epoch: count,
  seq: count,
  owner: z.string().max(256).nullable(),
  /** Random per write: tells our own write from another's after an ambiguous timeout. */
  nonce: z.string().max(64),
  /** Attempts in a row that ended without advancing `seq`. */
  stuckAttempts: count,
  pins: Pins.nullable(),
  position: Position,
  checkpoint: CheckpointRef.nullable(),
  /** Where the job goes on if `checkpoint` turns out to be damaged; null: at its beginning. */
  restore: RestorePoint.nullable().default(null),
  segments: z.array(SegmentRun).max(512),
  /** sha256 chain over the output records in order, independent of how commits cut them. */
  outputSha256: Sha256,
  score: ScoreTotals.nullable(),
  stats: RunStats,
  failure: Failure.nullable(),
  /** Ends of earlier generations, oldest first; the newest few are kept. */
  history: z.array(PastFailure).max(limits.pastFailures).default([]),
  fallback: Fallback.nullable().default(null),
  /** For people; nothing is decided by it. Empty for a job of an earlier version. */
  timeline: Timeline.default([]),
  /** The job ends as `expired` where it has not ended by then. Taken from the spec; a redrive sets another. */
  expiresAt: z.iso.datetime().nullable().default(null),
  /** What a sweep took from a job that ended long ago: nothing, its checkpoint, or everything (it is being deleted). */
  dropped: z.enum(['nothing', 'state', 'everything']).default('nothing'),
  updatedAt: z.iso.datetime(),
});
export type Head = z.infer<typeof Head>;
