import { z } from 'zod';
import { limits } from './limits.ts';

const bytesOf = (text: string) => new TextEncoder().encode(text).length;

/** A turn of a conversation. Which roles a model knows is said by its own chat template. */
export const ChatMessage = z.strictObject({
  role: z.enum(['system', 'user', 'assistant', 'tool']),
  content: z.string(),
});
export type ChatMessage = z.infer<typeof ChatMessage>;

/** Turns of a conversation that the model's own chat template makes a text of, up to where the model's next turn begins. */
export const ChatPrompt = z.strictObject({
  messages: z
    .array(ChatMessage)
    .min(1, 'a chat has at least one message')
    .max(limits.chatMessages, `a chat has at most ${limits.chatMessages} messages`)
    .refine((all) => all.reduce((sum, { content }) => sum + bytesOf(content), 0) <= limits.chatBytes, {
      error: `the messages of a chat have at most ${limits.chatBytes} bytes as UTF-8`,
    }),
});
export type ChatPrompt = z.infer<typeof ChatPrompt>;

/** A prompt of a task that may have none: text or a chat. */
export const Prompt = promptOf(z.string().max(limits.inlineBytes));
export type Prompt = z.infer<typeof Prompt>;

/** A question's own text. */
export const QuestionText = z
  .string()
  .min(1, 'a question has at least one character')
  .refine((text) => bytesOf(text) <= limits.inlineBytes, {
    error: `a question has at most ${limits.inlineBytes} bytes as UTF-8`,
  });

export const QuestionPrompt = promptOf(QuestionText);

/**
 * Either of the two, told apart by what was given: a union would say nothing of where a chat is wrong. `meta` is what a JSON
 * schema says of it.
 */
function promptOf(text: z.ZodType<string>): z.ZodType<string | ChatPrompt, string | ChatPrompt> {
  const prompt = z.any().superRefine((value, context) => {
    if (typeof value !== 'string' && (typeof value !== 'object' || value === null)) {
      context.addIssue({ code: 'custom', message: 'a prompt is text, or {"messages": […]}', continue: false });
      return;
    }
    const schema: z.ZodType = typeof value === 'string' ? text : ChatPrompt;
    for (const { path, message } of schema.safeParse(value).error?.issues ?? []) {
      context.addIssue({ code: 'custom', path, message, continue: false });
    }
  });
  return prompt.meta({ anyOf: [jsonSchemaOf(text), jsonSchemaOf(ChatPrompt)] });
}

/** As a part of another schema, which says itself which draft it is of. */
function jsonSchemaOf(schema: z.ZodType) {
  const { $schema: _, ...rest } = z.toJSONSchema(schema);
  return rest;
}
