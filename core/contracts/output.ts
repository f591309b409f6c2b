import { z } from 'zod';
import { ErrorCode } from './errors.ts';
import { limits } from './limits.ts';

const count = z.number().int().nonnegative();

/**
 * The most likely tokens of one position, descending, the lowest id first among equals: id, log-probability, and the text of
 * the token alone, where the task tells texts (incomplete characters are U+FFFD, special tokens '').
 */
export const TopLogprobs = z.array(z.tuple([count, z.number(), z.string().optional()])).max(limits.topLogprobs);
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

const TokenText = z.strictObject({ token: count, text: z.string() });

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
  /** `detail: 'text'`: the scored tokens, and what each adds to the text, as `TokenRecord.text`. */
  tokens: z.array(count).optional(),
  texts: z.array(z.string()).optional(),
  /** `detail: 'text'`, on the first line: the token that the reading began with, which is not scored. */
  first: TokenText.optional(),
  /**
   * `detail: 'text'`, on the last line: the most likely token behind all that was read, of the same logits as `top`. `text`
   * is what it adds to the text as the last token of all; `top` is empty where the job asked for none.
   */
  next: TokenText.extend({ logprob: z.number(), top: TopLogprobs }).optional(),
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
