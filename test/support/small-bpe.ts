import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadTokenizer, type TextTokenizer } from '@longhaul/worker/text';

const falconSplit = {
  type: 'Sequence',
  pretokenizers: [
    { type: 'Punctuation', behavior: 'Contiguous' },
    { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    { type: 'Digits', individual_digits: false },
    { type: 'Split', pattern: { Regex: '[0-9][0-9][0-9]' }, behavior: 'Isolated', invert: false },
  ],
};
const gpt2Split = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };

/** How a text is cut before its pieces are merged: as Falcon's tokenizer does it, or as GPT-2's. */
export const splits = { falcon: falconSplit, gpt2: gpt2Split };

/** ByteLevel's alphabet, written here a second time on purpose. */
const alphabet = (() => {
  const printable = (b: number) => (b > 32 && b < 127) || (b > 160 && b !== 173);
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCharCode(printable(b) ? b : next++));
})();

/** Merges of pairs drawn by `draw(n)` (an integer below n) from the tokens made so far: no order of use, no frequency. */
export function drawMerges(bytes: readonly number[], count: number, draw: (n: number) => number): [string, string][] {
  const tokens = bytes.map((b) => alphabet[b]!);
  const merges = new Map<string, [string, string]>();
  for (let i = 0; i < count; i++) {
    const pair: [string, string] = [tokens[draw(tokens.length)]!, tokens[draw(tokens.length)]!];
    if (pair[0].length + pair[1].length > 24 || merges.has(pair.join(' '))) continue;
    merges.set(pair.join(' '), pair);
    tokens.push(pair[0] + pair[1]);
  }
  return [...merges.values()];
}

/** Merges by frequency, as training would give them, of a text's words. */
export function trainMerges(text: string, count: number): [string, string][] {
  const words = text.split(/(?=\s)/).map((word) => Array.from(Buffer.from(word), (b) => alphabet[b]!));
  const merges: [string, string][] = [];
  for (let i = 0; i < count; i++) {
    const counts = new Map<string, number>();
    for (const word of words) {
      for (let k = 0; k + 1 < word.length; k++) {
        const pair = `${word[k]} ${word[k + 1]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    }
    let best = '';
    for (const [pair, n] of counts) if (n > (counts.get(best) ?? 1)) best = pair;
    if (best === '') break;
    const [left, right] = best.split(' ') as [string, string];
    merges.push([left, right]);
    for (const word of words) {
      for (let k = 0; k + 1 < word.length; k++) {
        if (word[k] === left && word[k + 1] === right) word.splice(k, 2, left + right);
      }
    }
  }
  return merges;
}

export interface SmallTokenizer {
  readonly merges: readonly (readonly [string, string])[];
  readonly pre: unknown;
  /** Bytes without a token. */
  readonly missing?: readonly number[];
  readonly added?: readonly string[];
  /** Overwrites fields of tokenizer.json. */
  readonly more?: Readonly<Record<string, unknown>>;
  readonly config?: Readonly<Record<string, unknown>>;
}

export function tokenizerJson({ merges, pre, missing = [], added = [], more = {} }: SmallTokenizer): object {
  const vocab: Record<string, number> = {};
  let id = 0;
  for (let b = 0; b < 256; b++) if (!missing.includes(b)) vocab[alphabet[b]!] = id++;
  for (const [left, right] of merges) vocab[left + right] ??= id++;
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added.map((content) => ({ id: id++, content, ...flags })),
    normalizer: null,
    pre_tokenizer: pre,
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges: merges.map(([left, right]) => `${left} ${right}`),
    },
    ...more,
  };
}

/** Writes the tokenizer into a temporary folder, loads it, and takes the folder away again. */
export async function loadSmall(small: SmallTokenizer): Promise<TextTokenizer> {
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-bpe-'));
  try {
    await writeFile(join(dir, 'tokenizer.json'), JSON.stringify(tokenizerJson(small)));
    if (small.config !== undefined) await writeFile(join(dir, 'tokenizer_config.json'), JSON.stringify(small.config));
    return await loadTokenizer(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
