import { z } from 'zod';
import { limits } from './limits.ts';
import { Compression, DocumentSource, InvalidUtf8 } from './source.ts';

/** `[A-Za-z0-9_-]`, so that an id is safe in an object key, a queue id and a stream name. */
export const JobId = z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{7,63}$/);
export type JobId = z.infer<typeof JobId>;

export const Tenant = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/);
export const ModelName = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/i);

/** u64 as a decimal string: JSON numbers end at 2^53. */
export const Seed = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,19})$/)
  .refine((s) => BigInt(s) < 2n ** 64n, 'a seed is below 2^64');

/** Added to the logit of one token before anything else. */
export const LogitBias = z.strictObject({
  token: z
    .number()
    .int()
    .min(0)
    .max(2 ** 31 - 1),
  bias: z.number().min(-100).max(100),
});
export type LogitBias = z.infer<typeof LogitBias>;

const TopLogprobsWanted = z.number().int().min(0).max(limits.topLogprobs).default(0);

/** Counter-based sampling: the draw depends on `seed` and the output position alone, so a resume needs no RNG state. */
export const SamplingSpec = z.strictObject({
  /** 0 is greedy. */
  temperature: z.number().min(0).max(100),
  topK: z.number().int().min(1).nullable(),
  topP: z.number().gt(0).max(1).nullable(),
  /** Keeps the tokens with p >= minP * the largest p. */
  minP: z.number().gt(0).max(1).nullable().default(null),
  logitBias: z
    .array(LogitBias)
    .max(limits.logitBiases)
    .refine((all) => new Set(all.map(({ token }) => token)).size === all.length, 'a token has one bias')
    .default([]),
  /** 1 is off. Applies to the tokens generated so far. */
  repetitionPenalty: z.number().gt(0).max(100),
  seed: Seed,
});
export type SamplingSpec = z.infer<typeof SamplingSpec>;

export const GenerateTask = z.strictObject({
  kind: z.literal('generate'),
  /** Text that follows the document; tokenized on its own. Null: go on where the document ends. */
  prompt: z.string().max(limits.inlineBytes).nullable(),
  maxNewTokens: z.number().int().min(1).max(limits.maxNewTokens),
  sampling: SamplingSpec,
  /** Generation ends before the first of these strings; the text excludes it. */
  stop: z.array(z.string().min(1).max(limits.stopStringChars)).max(limits.stopStrings),
  /** So many of the most likely tokens are told with each generated one. */
  topLogprobs: TopLogprobsWanted,
});
export type GenerateTask = z.infer<typeof GenerateTask>;

export const ScoreTask = z.strictObject({
  kind: z.literal('score'),
  /** One output line covers the predictions made from this many tokens. A power of two. */
  segmentTokens: z
    .number()
    .int()
    .min(64)
    .max(65_536)
    .refine((n) => (n & (n - 1)) === 0, 'segmentTokens is a power of two'),
  /** `token` adds each token's log-probability to the line. */
  detail: z.enum(['segment', 'token']),
  /** So many of the most likely tokens are told with each scored one; needs `detail: 'token'`. */
  topLogprobs: TopLogprobsWanted,
});
export type ScoreTask = z.infer<typeof ScoreTask>;

export const Task = z.discriminatedUnion('kind', [GenerateTask, ScoreTask]);
export type Task = z.infer<typeof Task>;

/** What was asked, as stored in `spec.json`: written once, never changed. */
export const JobSpec = z.strictObject({
  v: z.literal(1),
  jobId: JobId,
  tenant: Tenant,
  createdAt: z.iso.datetime(),
  /** The served name of a model; it also names the queue. */
  model: ModelName,
  task: Task,
  document: DocumentSource,
  compression: Compression,
  invalidUtf8: InvalidUtf8,
  /** Put the model's BOS token before the document. */
  addBos: z.boolean(),
  /** 0 is the default; higher runs earlier. */
  priority: z.number().int().min(0).max(1000),
  /** A job that has not ended by then ends as `expired`; what it has committed stays readable. Null: never. */
  expiresAt: z.iso.datetime().nullable().default(null),
});
export type JobSpec = z.infer<typeof JobSpec>;
