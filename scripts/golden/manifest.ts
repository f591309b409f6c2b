import { z } from 'zod';

const count = z.number().int().nonnegative();
const distance = z.number().nonnegative();

/** What the checker reads of a golden folder's manifest.json; other keys are left alone. */
export const Manifest = z.looseObject({
  name: z.string(),
  resolved_config: z.record(z.string(), z.union([z.number(), z.boolean(), z.string()])),
  /** Sequence name -> its length in tokens. */
  sequences: z.record(z.string(), count),
  greedy: z.record(z.string(), z.looseObject({ tokens: z.array(count), native_tokens: z.array(count).optional() })),
  score: z.array(
    z.looseObject({
      context_len: count,
      continuation_len: count,
      sum_f32: z.number(),
      sum_f64: z.number(),
      is_greedy_f64: z.boolean(),
    }),
  ),
  max_abs_differences: z.looseObject({
    f32_vs_f64: z.record(z.string(), z.object({ logits: distance, conv_state: distance, ssm_state: distance })),
    /** Logits of the reference's run in the stored 16-bit type; where there is one. */
    native_vs_f64: z.record(z.string(), distance).optional(),
    /** Keys read "S first K": S fed as its first K tokens at once, then one by one. */
    chunked_vs_whole: z.record(z.string(), z.unknown()),
  }),
  tensors: z.record(z.string(), z.unknown()),
  sha256: z.record(z.string(), z.string().regex(/^[0-9a-f]{64}$/)),
  trimmed: z.strictObject({ original_sha256: z.string(), dropped: z.array(z.string()) }).optional(),
});
export type Manifest = z.infer<typeof Manifest>;
