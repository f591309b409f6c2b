import { errorCode, type Prompt, RejectedJob } from '@longhaul/core/contracts';
import type { JobContext } from './context.ts';

/**
 * The tokens of a prompt. A chat becomes text by the model's own template, up to where the model's next turn begins; special
 * tokens are recognised wherever they stand in that text, also in what a message says.
 * @throws RejectedJob `invalid_argument` where the model has no template, or it refuses the messages or makes nothing of them
 */
export async function promptTokens(context: JobContext, prompt: Prompt | null): Promise<Int32Array> {
  if (prompt === null) return new Int32Array(0);
  const { tokenizer } = context;
  if (typeof prompt === 'string') return await tokenizer.encode(prompt);
  const tokens = await tokenizer.encode(render(context, prompt.messages));
  if (tokens.length > 0) return tokens;
  throw new RejectedJob('invalid_argument', "the model's chat template makes nothing of these messages");
}

function render({ spec, tokenizer }: JobContext, messages: Exclude<Prompt, string>['messages']): string {
  try {
    return tokenizer.renderChat(messages, { addGenerationPrompt: true, at: new Date(spec.createdAt) });
  } catch (cause) {
    if (errorCode(cause) !== 'tokenizer_unsupported') throw cause;
    throw new RejectedJob(
      'invalid_argument',
      `model ${spec.model} has no chat template: give a plain prompt, not messages`,
    );
  }
}
