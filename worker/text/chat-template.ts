import { Template } from '@huggingface/jinja';
import { LonghaulError } from '@longhaul/core/contracts';
import { z } from 'zod';
import type { ChatMessage, ChatOptions } from './ports.ts';
import { strftime } from './strftime.ts';

const SpecialToken = z.union([z.string(), z.looseObject({ content: z.string() }).transform((t) => t.content)]);

/** The parts of `tokenizer_config.json` that a chat template can see. */
export const TokenizerConfig = z.looseObject({
  chat_template: z.union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))]).nullish(),
  bos_token: SpecialToken.nullish(),
  eos_token: SpecialToken.nullish(),
  unk_token: SpecialToken.nullish(),
  pad_token: SpecialToken.nullish(),
});
export type TokenizerConfig = z.infer<typeof TokenizerConfig>;

/**
 * The library's `strftime_now` tells the time of the rendering, and cannot be given another one but from within. The newline
 * goes with the block before it, so that the template begins where it began.
 */
const ownClock = '{% set strftime_now = job_strftime %}\n';

/** A model's own chat template. `file` (chat_template.jinja) goes before the one in tokenizer_config.json. */
export class ChatTemplate {
  readonly #template: Template;
  readonly #specialTokens: Readonly<Record<string, string>>;

  private constructor(source: string, config: TokenizerConfig, path: string) {
    try {
      this.#template = new Template(source.includes('strftime_now') ? `${ownClock}${source}` : source);
    } catch (cause) {
      throw new LonghaulError('tokenizer_corrupt', `${path}: the chat template does not parse`, { cause });
    }
    const { bos_token, eos_token, unk_token, pad_token } = config;
    const tokens = { bos_token, eos_token, unk_token, pad_token };
    this.#specialTokens = Object.fromEntries(
      Object.entries(tokens).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    );
  }

  /** Null where the model has none. */
  static of(config: TokenizerConfig, file: string | null, path: string): ChatTemplate | null {
    const own = config.chat_template;
    const source = file ?? (Array.isArray(own) ? own.find((t) => t.name === 'default')?.template : own);
    return source == null ? null : new ChatTemplate(source, config, path);
  }

  render(messages: readonly ChatMessage[], { addGenerationPrompt, at }: ChatOptions): string {
    try {
      return this.#template.render({
        ...this.#specialTokens,
        messages: messages.map(({ role, content }) => ({ role, content })),
        add_generation_prompt: addGenerationPrompt,
        job_strftime: (format: string) => strftime(at, format),
      });
    } catch (cause) {
      // Templates refuse what they do not know, such as a role, by raising.
      throw new LonghaulError('invalid_argument', "the model's chat template refuses these messages", { cause });
    }
  }
}
