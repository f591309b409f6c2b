import { z } from 'zod';
import { CheckpointRef, Failure, RunStats, SegmentRun, Sha256 } from './head.ts';
import { JobId, ModelName } from './job.ts';

const count = z.number().int().nonnegative();

export const FinishReason = z.enum(['length', 'eos', 'stop', 'read', 'cancelled', 'failed', 'expired']);
export type FinishReason = z.infer<typeof FinishReason>;

export const Usage = z.strictObject({ inputTokens: count, outputTokens: count, inputBytes: count });
export type Usage = z.infer<typeof Usage>;

/** Totals of a `score` job over its scored tokens (every token but the first). */
export const ScoreSummary = z.strictObject({
  tokens: count,
  nats: z.number(),
  /** Against the document's decompressed bytes. */
  bitsPerByte: z.number(),
  perplexity: z.number(),
});
export type ScoreSummary = z.infer<typeof ScoreSummary>;

/**
 * `result.json` (`result-1.json` … of a redriven job), written once. `digests` say whether two runs gave the same answer; `stats` describe the run.
 * `text` is the whole generated text where it is at most 64 KiB, else null: read the output segments.
 */
export const JobResult = z.strictObject({
  v: z.literal(1),
  jobId: JobId,
  generation: count.default(0),
  status: z.enum(['succeeded', 'cancelled', 'failed', 'expired']),
  model: ModelName,
  task: z.enum(['generate', 'score']),
  finishReason: FinishReason,
  usage: Usage,
  text: z.string().nullable(),
  score: ScoreSummary.nullable(),
  digests: z.strictObject({ state: Sha256.nullable(), output: Sha256 }),
  checkpoint: CheckpointRef.nullable(),
  segments: z.array(SegmentRun),
  stats: RunStats,
  failure: Failure.nullable(),
  finishedAt: z.iso.datetime(),
});
export type JobResult = z.infer<typeof JobResult>;
