import { z } from 'zod';
import { CheckpointRef, Failure, RunStats, SegmentRun, Sha256 } from './head.ts';
import { JobId, ModelName } from './job.ts';
import { StatePoint } from './state-name.ts';

const count = z.number().int().nonnegative();

export const FinishReason = z.enum(['length', 'eos', 'stop', 'read', 'answered', 'cancelled', 'failed', 'expired']);
export type FinishReason = z.infer<typeof FinishReason>;

export const Usage = z.strictObject({
  /** Tokens that the job read: BOS, document, prompt, and the prompts of all its questions. */
  inputTokens: count,
  /** Tokens that came with the state it began from, or from the prefix cache; not among `inputTokens`. */
  cachedTokens: count.default(0),
  outputTokens: count,
  inputBytes: count,
});
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

/** Questions of an `ask` job that have a record, and how many of these are error records. */
export const AnswerCounts = z.strictObject({ total: count, failed: count });
export type AnswerCounts = z.infer<typeof AnswerCounts>;

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
  task: z.enum(['generate', 'score', 'ingest', 'ask', 'append']),
  finishReason: FinishReason,
  usage: Usage,
  text: z.string().nullable(),
  score: ScoreSummary.nullable(),
  answers: AnswerCounts.nullable().default(null),
  /** The version that the job published. */
  state: StatePoint.nullable().default(null),
  digests: z.strictObject({ state: Sha256.nullable(), output: Sha256 }),
  checkpoint: CheckpointRef.nullable(),
  segments: z.array(SegmentRun),
  stats: RunStats,
  failure: Failure.nullable(),
  finishedAt: z.iso.datetime(),
});
export type JobResult = z.infer<typeof JobResult>;
