import { z } from 'zod';
import { JobStatus } from './head.ts';
import { FinishReason } from './result.ts';

const count = z.number().int().nonnegative();

/** What a running worker shows of a job: a display, never the truth. */
export const Progress = z.strictObject({
  epoch: count,
  worker: z.string().max(256),
  phase: z.enum(['read', 'generate']),
  /** Tokens fed so far, committed or not. */
  tokens: count,
  /** Decompressed document bytes read so far. */
  bytes: count,
  /** Document bytes in all, null where unknown (compressed or unsized sources). */
  totalBytes: count.nullable(),
  outputTokens: count,
  tokensPerSecond: z.number().nonnegative(),
  committedTokens: count,
  commits: count,
  updatedAt: z.iso.datetime(),
});
export type Progress = z.infer<typeof Progress>;

/** An entry of a job's live stream. Its stream id is its output position, so Redis refuses repeats and zombies. */
export const LiveEvent = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('token'),
    position: z.number().int().positive(),
    token: count,
    logprob: z.number(),
    text: z.string(),
  }),
  z.strictObject({ kind: z.literal('end'), status: JobStatus, finishReason: FinishReason }),
]);
export type LiveEvent = z.infer<typeof LiveEvent>;
