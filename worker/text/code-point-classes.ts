import { Tokenizer } from '@anush008/tokenizers';

/** Classes as GPT-2's pattern tells them apart: `\p{L}`, `\p{N}`, the rest, `\s`. */
export const letter = 1;
export const number = 2;
export const other = 3;
export const space = 4;
/** Added to the class of what the Punctuation pre-tokenizer takes for punctuation. */
export const punctuation = 8;

const blockSize = 256;

/**
 * Classes of code points, asked of the Rust library itself: its tables are of several Unicode versions and are not
 * JavaScript's. A block of 256 is asked for when a text first needs it.
 */
export class CodePointClasses {
  /** By code point; 0 in blocks that nobody has asked for. */
  readonly #classes = new Uint8Array(0x110000);
  readonly #punctuation: Remainder;
  readonly #letters: Remainder;
  readonly #numbers: Remainder;
  readonly #spaces: Remainder;

  constructor() {
    this.#punctuation = remainderOf({ type: 'Punctuation', behavior: 'Removed' });
    this.#letters = remainderOf(split('\\p{L}'));
    this.#numbers = remainderOf(split('\\p{N}'));
    this.#spaces = remainderOf(split('\\s'));
  }

  of(codePoint: number): number {
    return this.#classes[codePoint] || this.#ask(codePoint);
  }

  #ask(codePoint: number): number {
    const first = codePoint - (codePoint % blockSize);
    const block = Array.from({ length: blockSize }, (_, i) => first + i).filter((c) => c < 0xd800 || c > 0xdfff);
    const text = String.fromCodePoint(...block);
    const notLetter = this.#letters(text);
    const notNumber = this.#numbers(text);
    const notSpace = this.#spaces(text);
    const notPunctuation = this.#punctuation(text);
    for (const c of block) {
      const kind = !notLetter.has(c) ? letter : !notNumber.has(c) ? number : !notSpace.has(c) ? space : other;
      this.#classes[c] = kind | (notPunctuation.has(c) ? 0 : punctuation);
    }
    return this.#classes[codePoint]!;
  }
}

/** Whether each byte counts as a digit once it is written in ByteLevel's alphabet. */
export function digitBytes(alphabet: (byte: number) => string): Uint8Array {
  const all = Array.from({ length: 256 }, (_, byte) => alphabet(byte));
  const digits = preTokenizer({ type: 'Digits', individual_digits: false });
  const isDigit = new Uint8Array(256);
  // Between two letters a digit is a piece of its own.
  all.forEach((c, byte) => {
    isDigit[byte] = digits(`a${c}a`).length > 1 ? 1 : 0;
  });
  return isDigit;
}

type Remainder = (text: string) => Set<number>;

/** The code points of a text that the pre-tokenizer does not take away. */
function remainderOf(json: object): Remainder {
  const pieces = preTokenizer(json);
  return (text) => new Set(pieces(text).flatMap((piece) => Array.from(piece, (c) => c.codePointAt(0)!)));
}

function split(regex: string): object {
  return { type: 'Split', pattern: { Regex: regex }, behavior: 'Removed', invert: false };
}

function preTokenizer(json: object): (text: string) => string[] {
  const tokenizer = Tokenizer.fromString(
    JSON.stringify({
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: json,
      post_processor: null,
      decoder: null,
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: { a: 0 },
        merges: [],
      },
    }),
  );
  const inner = tokenizer.getPreTokenizer()!;
  return (text) => inner.preTokenizeString(text).map(([piece]) => piece);
}
