import { z } from 'zod';
import { ErrorCode } from './errors.ts';
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

/** The answer to one question, or why there is none. `index` is the question's place, from 0: line `index + 1` of its file. */
export const AnswerRecord = z.strictObject({
  index: count,
  /** The caller's own name for the question. */
  id: z.string().max(limits.questionIdChars).nullable(),
  text: z.string(),
  /** Tokens of the question. */
  promptTokens: count,
  tokens: z.array(count),
  finishReason: z.enum(['length', 'eos', 'stop', 'error']),
  /** One a token, where the job asked for them. */
  logprobs: z.array(z.number()).nullable(),
  /** One entry a token, where the job asked for it. */
  top: z.array(TopLogprobs).optional(),
  error: z.strictObject({ code: ErrorCode, message: z.string().max(1024) }).nullable(),
});
export type AnswerRecord = z.infer<typeof AnswerRecord>;

export const OutputRecord = z.union([TokenRecord, ScoreRecord, AnswerRecord]);
export type OutputRecord = z.infer<typeof OutputRecord>;

/** The output position, from 1, that a record says of itself; null for a line of scores, which says none. */
export function outputPositionOf(record: OutputRecord): number | null {
  if ('position' in record) return record.position;
  return 'index' in record ? record.index + 1 : null;
}
