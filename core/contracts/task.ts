import { z } from 'zod';
import { limits } from './limits.ts';
import { ChatPrompt, Prompt, QuestionPrompt, QuestionText } from './prompt.ts';
import { StoredSource } from './source.ts';

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
  /** What follows the document: text, or a chat; tokenized on its own. Null: go on where the document ends. */
  prompt: Prompt.nullable(),
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
  /** `token` adds each token's log-probability to the line; `text` its id and text too, and the token that would come next. */
  detail: z.enum(['segment', 'token', 'text']),
  /** So many of the most likely tokens are told with each scored one; needs `detail: 'token'` or `'text'`. */
  topLogprobs: TopLogprobsWanted,
});
export type ScoreTask = z.infer<typeof ScoreTask>;

/** Reads the document, and publishes the state under the name `saveAs`. */
export const IngestTask = z.strictObject({ kind: z.literal('ingest') });
export type IngestTask = z.infer<typeof IngestTask>;

/** Reads the document behind the state `from`, and publishes what comes of it as the next version of that name. */
export const AppendTask = z.strictObject({ kind: z.literal('append') });
export type AppendTask = z.infer<typeof AppendTask>;

const NewTokens = z.number().int().min(1).max(limits.answerTokens);

/** One question: text, or a chat, that follows what was read, tokenized on its own. */
export const Question = z.strictObject({
  /** The caller's own name for it, told with the answer. */
  id: z.string().min(1).max(limits.questionIdChars).nullable(),
  prompt: QuestionPrompt,
  /** Null: the task's. */
  maxNewTokens: NewTokens.nullable(),
});
export type Question = z.infer<typeof Question>;

/** Few questions travel in the spec; many lie in the store as JSONL, one `QuestionLine` a line. */
export const Questions = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('inline'),
    questions: z
      .array(Question)
      .min(1, 'an ask has at least one question')
      .max(
        limits.inlineQuestions,
        `at most ${limits.inlineQuestions} questions travel inline; more are stored as JSONL`,
      ),
  }),
  StoredSource,
]);
export type Questions = z.infer<typeof Questions>;

/** A line of stored questions: a `prompt` or `messages`. */
export const QuestionLine = z
  .strictObject({
    custom_id: Question.shape.id.optional(),
    prompt: QuestionText.optional(),
    messages: ChatPrompt.shape.messages.optional(),
    max_new_tokens: NewTokens.nullable().optional(),
  })
  .refine(({ prompt, messages }) => (prompt === undefined) !== (messages === undefined), {
    path: ['prompt'],
    error: 'a question has either a prompt or messages',
  });
export type QuestionLine = z.infer<typeof QuestionLine>;

/**
 * Reads the document, where there is one, and answers each question from the state at its end: one record a question, in
 * their order. What is drawn for an answer depends on the seed, the question's place and the position in the answer alone.
 */
export const AskTask = z.strictObject({
  kind: z.literal('ask'),
  questions: Questions,
  maxNewTokens: NewTokens,
  sampling: SamplingSpec,
  stop: z.array(z.string().min(1).max(limits.stopStringChars)).max(limits.stopStrings),
  /** Each token's log-probability is told. */
  logprobs: z.boolean().default(false),
  /** So many of the most likely tokens are told with each generated one; needs `logprobs`. */
  topLogprobs: TopLogprobsWanted,
});
export type AskTask = z.infer<typeof AskTask>;

export const Task = z.discriminatedUnion('kind', [GenerateTask, ScoreTask, IngestTask, AskTask, AppendTask]);
export type Task = z.infer<typeof Task>;
