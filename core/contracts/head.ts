import { z } from 'zod';
import { ErrorCode } from './errors.ts';
import { JobId } from './job.ts';
import { limits } from './limits.ts';
import { SourcePin } from './source.ts';

const count = z.number().int().nonnegative();
export const Sha256 = z.string().regex(/^[0-9a-f]{64}$/);

export const JobStatus = z.enum(['queued', 'running', 'done', 'cancelled', 'quarantined']);
export type JobStatus = z.infer<typeof JobStatus>;

/** Everything that must stay the same for a resume to give the same bytes. Fixed by the first owner. */
export const Pins = z.strictObject({
  source: SourcePin,
  modelDigest: Sha256,
  tokenizerDigest: Sha256,
  /** Tokens a chunk; commits of the read phase stand on its multiples. */
  chunkTokens: count,
  /** Device type, engine version, weights, activations, e.g. `cpu/2/as-stored/matched`: bits are promised within one. */
  engine: z.string().min(1).max(64),
});
export type Pins = z.infer<typeof Pins>;

/** How far the committed work goes. `tokenOffset` = N: the state covers tokens [0, N), the next token to feed is N. */
export const Position = z.strictObject({
  tokenOffset: count,
  /** Decompressed document bytes whose tokens are all below N or in the cursor's pending part. */
  inputByteOffset: count,
  /** Opaque to all but the tokenizer: where to read on, pending bytes included. Null once the document is read. */
  textCursor: z.string().max(limits.cursorBytes).nullable(),
  /** Tokens of the input (BOS, document, prompt); null until its end was seen. */
  inputTokens: count.nullable(),
  /** Output records committed: tokens for `generate`, lines for `score`. */
  outputCount: count,
  /** `generate`: the token sampled last, which is fed next; null before the first one. */
  nextToken: count.nullable(),
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
 * full yet: a commit may stand inside a line, since lines follow the document and commits follow the clock.
 */
export const ScoreTotals = z.strictObject({
  tokens: count,
  nats: z.number(),
  line: z.strictObject({ from: count, scored: count, nats: z.number() }).nullable(),
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
});
export type RunStats = z.infer<typeof RunStats>;

/** Why a job stopped for good. */
export const Failure = z.strictObject({ code: ErrorCode, message: z.string().max(4096), at: z.iso.datetime() });
export type Failure = z.infer<typeof Failure>;

/**
 * `head.json`, the only mutable object of a job. Every change is a compare-and-swap on its ETag:
 * `epoch` grows by one at each takeover and fences every older owner, `seq` grows by one at each commit.
 */
export const Head = z.strictObject({
  v: z.literal(1),
  jobId: JobId,
  status: JobStatus,
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
  segments: z.array(SegmentRun).max(512),
  /** sha256 chain over the output records in order, independent of how commits cut them. */
  outputSha256: Sha256,
  score: ScoreTotals.nullable(),
  stats: RunStats,
  failure: Failure.nullable(),
  updatedAt: z.iso.datetime(),
});
export type Head = z.infer<typeof Head>;
