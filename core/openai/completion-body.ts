import { z } from 'zod';
import { limits } from '../contracts/limits.ts';
import { TokensSource } from '../contracts/source.ts';
import { commonFields, idle, ownFields } from './fields.ts';

const TokenIds = TokensSource.shape.tokens;

/** The body of `POST /v1/completions`. */
export const CompletionBody = z.strictObject({
  ...commonFields,
  ...ownFields,
  /**
   * One text, or several, each with its own choices; or the token ids of one, or of several. May be left out where
   * `input_ref` is read.
   */
  prompt: z
    .union([
      z.string(),
      z.array(z.string()).min(1).max(limits.prompts),
      TokenIds,
      z.array(TokenIds).min(1).max(limits.prompts),
    ])
    .nullish(),
  /** 0 only with `echo`. */
  max_tokens: z.number().int().min(0).max(limits.maxNewTokens).nullish(),
  echo: z.boolean().nullish(),
  /** So many of the likeliest tokens are told with each one. */
  logprobs: z.number().int().min(0).max(limits.topLogprobs).nullish(),
  best_of: idle(1),
  suffix: z.literal('', { error: 'a text is gone on with, not filled in' }).nullish(),
});
export type CompletionBody = z.infer<typeof CompletionBody>;

/** What OpenAI takes where `max_tokens` is not given. */
export const defaultCompletionTokens = 16;
