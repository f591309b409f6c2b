import { z } from 'zod';

const count = z.number().int().nonnegative();

/** One generated token. `position` counts from 1. `text` is what it adds to the text ('' while a character is incomplete). */
export const TokenRecord = z.strictObject({
  position: z.number().int().positive(),
  token: count,
  logprob: z.number(),
  text: z.string(),
});
export type TokenRecord = z.infer<typeof TokenRecord>;

/**
 * The predictions made from tokens [from, to): log-probabilities (nats, natural log) of tokens from+1 … to.
 * The last line of a document has one prediction less, since nothing follows its last token.
 */
export const ScoreRecord = z.strictObject({
  from: count,
  to: count,
  scored: count,
  /** Sum of -log p over the scored tokens. */
  nats: z.number(),
  logprobs: z.array(z.number()).nullable(),
});
export type ScoreRecord = z.infer<typeof ScoreRecord>;

export const OutputRecord = z.union([TokenRecord, ScoreRecord]);
export type OutputRecord = z.infer<typeof OutputRecord>;
