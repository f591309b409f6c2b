import { z } from 'zod';
import { ModelName } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import { Compression, InvalidUtf8 } from '../contracts/source.ts';

const stopText = z.string().min(1).max(limits.stopStringChars);

/** A field that OpenAI has and we have not, given as what does nothing. */
const idle = (value: number) => z.literal(value, { error: `only ${value} is possible here` }).nullish();

/** u64: as a decimal string where it is beyond what a JSON number holds. */
const Seed = z.union([
  z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  z
    .string()
    .regex(/^(0|[1-9][0-9]{0,19})$/)
    .refine((text) => BigInt(text) < 2n ** 64n, 'a seed is below 2^64'),
]);

/** What completions and chat completions have in common. `null` is the same as absent, as clients of the API have it. */
export const commonFields = {
  model: ModelName,
  n: z.number().int().min(1).max(limits.choices).nullish(),
  temperature: z.number().min(0).max(100).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  stop: z.union([stopText, z.array(stopText).max(limits.stopStrings)]).nullish(),
  seed: Seed.nullish(),
  logit_bias: z.record(z.string().regex(/^[0-9]{1,10}$/, 'a token id'), z.number().min(-100).max(100)).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({ include_usage: z.boolean().nullish() }).nullish(),
  presence_penalty: idle(0),
  frequency_penalty: idle(0),
  /** Of the caller; nothing is done with them. */
  user: z.string().max(512).nullish(),
  metadata: z.record(z.string().max(64), z.string().max(512)).nullish(),
  store: z.boolean().nullish(),
} as const;

/** Ours: where the document is, which state is gone on from, what is kept. */
export const ownFields = {
  /** The document that is read before the prompt: `file-…`, `s3://…`, `https://…` or `file:///…`. */
  input_ref: z.string().min(1).max(4096).nullish(),
  /** A named state: `name`, `name@3`, `state://tenant/name@3`. */
  from: z.string().min(1).max(256).nullish(),
  /** The name under which the state at the end is published. */
  save_as: z.string().min(1).max(256).nullish(),
  compression: Compression.nullish(),
  invalid_utf8: InvalidUtf8.nullish(),
  /** Put the model's BOS token before the document. */
  add_bos: z.boolean().nullish(),
  prefix_cache: z.boolean().nullish(),
  top_k: z.number().int().min(1).nullish(),
  min_p: z.number().gt(0).max(1).nullish(),
  repetition_penalty: z.number().gt(0).max(100).nullish(),
} as const;

export const MaxTokens = z.number().int().min(1).max(limits.maxNewTokens);
export { idle };
