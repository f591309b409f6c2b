import { alphabetBytes } from './byte-alphabet.ts';
import type { StreamingDecoder } from './ports.ts';
import type { TokenizerDescription } from './tokenizer-file.ts';
import { Utf8Chunks } from './utf8.ts';

const none = Buffer.alloc(0);

/** ByteLevel's decoder: the bytes of each token, in order; special tokens and unknown ids add nothing. */
export class ByteDecoder {
  readonly #bytes: Buffer[] = [];
  readonly #texts: string[] = [];

  constructor(description: Pick<TokenizerDescription, 'vocab' | 'addedTokens'>) {
    const special = new Set(description.addedTokens.filter((t) => t.special).map((t) => t.content));
    const put = (id: number, text: string): void => {
      // A token with a character outside the alphabet stands for its own text.
      this.#bytes[id] = special.has(text) ? none : (alphabetBytes(text) ?? Buffer.from(text));
    };
    for (const [text, id] of Object.entries(description.vocab)) put(id, text);
    for (const { id, content } of description.addedTokens) put(id, content);
  }

  /** One more than the largest id. */
  get size(): number {
    return this.#bytes.length;
  }

  bytes(token: number): Buffer {
    return this.#bytes[token] ?? none;
  }

  decode(tokens: Int32Array): string {
    const parts: Buffer[] = [];
    for (const token of tokens) parts.push(this.bytes(token));
    return Buffer.concat(parts).toString('utf8');
  }

  /** Kept once it was asked for: the same few tokens are told again and again. */
  textOf(token: number): string {
    if (this.#texts[token] === undefined) this.#texts[token] = this.bytes(token).toString('utf8');
    return this.#texts[token];
  }

  stream(held = ''): StreamingDecoder {
    const utf8 = new Utf8Chunks('replace', 0, Buffer.from(held, 'hex'));
    return {
      get held() {
        return utf8.held.toString('hex');
      },
      push: (token) => utf8.push(this.bytes(token)).bytes.toString('utf8'),
      flush: () => utf8.end().bytes.toString('utf8'),
    };
  }
}
