import { z } from 'zod';
import { JobStatus } from './head.ts';
import { AnswerRecord, TokenRecord } from './output.ts';
import { FinishReason } from './result.ts';

const count = z.number().int().nonnegative();

/** What a running worker shows of a job: a display, never the truth. */
export const Progress = z.strictObject({
  epoch: count,
  worker: z.string().max(256),
  phase: z.enum(['read', 'generate']),
  /** Tokens fed so far, committed or not. */
  tokens: count,
  /** Of these, the tokens that came with the state which the job began from, or from the prefix cache. */
  cachedTokens: count.default(0),
  /** Of `bytes`, those that came from the prefix cache. */
  cachedBytes: count.default(0),
  /** Decompressed document bytes read so far. */
  bytes: count,
  /** Document bytes in all, null where unknown (compressed or unsized sources). */
  totalBytes: count.nullable(),
  /** Output records so far, committed or not: tokens for `generate`, answers for `ask`. */
  outputTokens: count,
  tokensPerSecond: z.number().nonnegative(),
  committedTokens: count,
  commits: count,
  updatedAt: z.iso.datetime(),
});
export type Progress = z.infer<typeof Progress>;

/**
 * An entry of a job's live stream, as its owner writes it. Stream ids are `{epoch}-{output position}`, so Redis itself
 * refuses repeats and zombies.
 */
export const LiveEvent = z.discriminatedUnion('kind', [
  /** A new owner goes on from here: `position` records are committed, what was shown beyond them is taken back. */
  z.strictObject({ kind: z.literal('begin'), position: count }),
  TokenRecord.extend({ kind: z.literal('token') }),
  /** `position` is the answer's place, from 1. */
  z.strictObject({ kind: z.literal('answer'), position: z.number().int().positive(), record: AnswerRecord }),
  /** `outputCount`: records of the ended job; the ledger has all of them. */
  z.strictObject({ kind: z.literal('end'), status: JobStatus, finishReason: FinishReason, outputCount: count }),
]);
export type LiveEvent = z.infer<typeof LiveEvent>;
