import { z } from 'zod';
import { limits } from './limits.ts';

const count = z.number().int().nonnegative();

/** The most likely tokens of one position, descending, the lowest id first among equals. */
export const TopLogprobs = z.array(z.tuple([count, z.number()])).max(limits.topLogprobs);
export type TopLogprobs = z.infer<typeof TopLogprobs>;

/** One generated token. `position` counts from 1. `text` is what it adds to the text ('' while a character is incomplete). */
export const TokenRecord = z.strictObject({
  position: z.number().int().positive(),
  token: count,
  logprob: z.number(),
  text: z.string(),
  /** Where the job asked for it. */
  top: TopLogprobs.optional(),
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
  /** One entry a scored token, where the job asked for it. */
  top: z.array(TopLogprobs).optional(),
});
export type ScoreRecord = z.infer<typeof ScoreRecord>;

export const OutputRecord = z.union([TokenRecord, ScoreRecord]);
export type OutputRecord = z.infer<typeof OutputRecord>;
