import { z } from 'zod';
import { limits } from '../contracts/limits.ts';
import { commonFields, MaxTokens, ownFields } from './fields.ts';

const Part = z.strictObject({ type: z.literal('text', { error: 'only text is read' }), text: z.string() });

/** Parts of a content are put together without anything between them. */
const Content = z
  .union([z.string(), z.array(Part).min(1)])
  .transform((content) => (typeof content === 'string' ? content : content.map(({ text }) => text).join('')));

const ChatMessage = z.strictObject({
  /** `developer` is `system` under its newer name. */
  role: z
    .enum(['system', 'developer', 'user', 'assistant'])
    .transform((role) => (role === 'developer' ? ('system' as const) : role)),
  content: Content,
  name: z.string().max(64).nullish(),
});

/** The body of `POST /v1/chat/completions`. */
export const ChatBody = z.strictObject({
  ...commonFields,
  ...ownFields,
  messages: z.array(ChatMessage).min(1).max(limits.chatMessages),
  max_tokens: MaxTokens.nullish(),
  max_completion_tokens: MaxTokens.nullish(),
  logprobs: z.boolean().nullish(),
  /** Needs `logprobs`. */
  top_logprobs: z.number().int().min(0).max(limits.topLogprobs).nullish(),
  response_format: z.strictObject({ type: z.literal('text', { error: 'only text is possible here' }) }).nullish(),
});
export type ChatBody = z.infer<typeof ChatBody>;

/** Where neither `max_completion_tokens` nor `max_tokens` is given. */
export const defaultChatTokens = 1024;
