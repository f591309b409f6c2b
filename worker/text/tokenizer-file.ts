import { LonghaulError } from '@longhaul/core/contracts';
import { z } from 'zod';

const id = z.number().int().min(0).max(0x7ffffffe);

const AddedToken = z.looseObject({
  id,
  content: z.string(),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  normalized: z.boolean().default(false),
  special: z.boolean().default(false),
});

/** The parts of `tokenizer.json` that decide tokens. Merges come as "a b" or as ["a", "b"]. */
const TokenizerFile = z.looseObject({
  added_tokens: z.array(AddedToken).default([]),
  normalizer: z.unknown(),
  pre_tokenizer: z.unknown(),
  decoder: z.unknown(),
  model: z.looseObject({
    type: z.string().default('BPE'),
    dropout: z.number().nullish(),
    unk_token: z.string().nullish(),
    continuing_subword_prefix: z.string().nullish(),
    end_of_word_suffix: z.string().nullish(),
    fuse_unk: z.boolean().nullish(),
    byte_fallback: z.boolean().nullish(),
    ignore_merges: z.boolean().nullish(),
    vocab: z.record(z.string(), id),
    merges: z.array(z.union([z.tuple([z.string(), z.string()]), z.string()])),
  }),
});

export interface TokenizerDescription {
  readonly vocab: Readonly<Record<string, number>>;
  readonly merges: readonly (readonly [string, string])[];
  readonly addedTokens: readonly { readonly id: number; readonly content: string; readonly special: boolean }[];
  readonly splitsPunctuation: boolean;
  readonly splitsDigits: boolean;
  readonly splitsTriples: boolean;
}

/**
 * Reads what is proven to stream (see `IncrementalEncoder`) and refuses everything else by name.
 * Errors: `tokenizer_corrupt` for what is no tokenizer file, `tokenizer_unsupported`.
 */
export function describeTokenizer(json: unknown, path: string): TokenizerDescription {
  const parsed = TokenizerFile.safeParse(json);
  if (!parsed.success) {
    const kind = (json as { model?: { type?: unknown } } | null)?.model?.type;
    if (typeof kind === 'string' && kind !== 'BPE') throw unsupported(path, `model ${kind}`, 'BPE');
    throw new LonghaulError('tokenizer_corrupt', `${path}: ${z.prettifyError(parsed.error)}`);
  }
  const file = parsed.data;
  const { model } = file;
  if (model.type !== 'BPE') throw unsupported(path, `model ${model.type}`, 'BPE');
  for (const key of [
    'dropout',
    'unk_token',
    'continuing_subword_prefix',
    'end_of_word_suffix',
    'fuse_unk',
    'byte_fallback',
    'ignore_merges',
  ] as const) {
    if (model[key]) throw unsupported(path, `BPE with ${key} = ${model[key]}`, `${key} unset`);
  }
  if (file.normalizer != null) throw unsupported(path, `normalizer ${kindOf(file.normalizer)}`, 'no normalizer');
  if (kindOf(file.decoder) !== 'ByteLevel') throw unsupported(path, `decoder ${kindOf(file.decoder)}`, 'ByteLevel');
  for (const token of file.added_tokens) {
    for (const flag of ['single_word', 'lstrip', 'rstrip'] as const) {
      if (token[flag]) throw unsupported(path, `added token ${JSON.stringify(token.content)} with ${flag}`, 'none');
    }
    if (token.normalized !== file.added_tokens[0]!.normalized) {
      throw unsupported(path, 'added tokens of both kinds, normalized and not', 'one kind');
    }
  }
  return {
    vocab: model.vocab,
    merges: model.merges.map((merge) => (typeof merge === 'string' ? splitMerge(merge, path) : merge)),
    addedTokens: file.added_tokens,
    ...describePreTokenizer(file.pre_tokenizer, path),
  };
}

const steps = {
  Punctuation: z.object({ type: z.literal('Punctuation'), behavior: z.literal('Contiguous') }),
  ByteLevel: z.object({
    type: z.literal('ByteLevel'),
    add_prefix_space: z.literal(false),
    use_regex: z.literal(true).default(true),
  }),
  Digits: z.object({ type: z.literal('Digits'), individual_digits: z.literal(false) }),
  Triples: z.object({
    type: z.literal('Split'),
    pattern: z.strictObject({ Regex: z.enum(['[0-9][0-9][0-9]', '[0-9]{3}']) }),
    behavior: z.literal('Isolated'),
    invert: z.literal(false).default(false),
  }),
};

/** ByteLevel with GPT-2's pattern; before it Punctuation, behind it Digits and groups of three, each or none. */
function describePreTokenizer(json: unknown, path: string) {
  const sequence = z.object({ type: z.literal('Sequence'), pretokenizers: z.array(z.unknown()) }).safeParse(json);
  const rest = sequence.success ? [...sequence.data.pretokenizers] : [json];
  const take = (step: keyof typeof steps): boolean => {
    const matches = steps[step].safeParse(rest[0]).success;
    if (matches) rest.shift();
    return matches;
  };
  const splitsPunctuation = take('Punctuation');
  const byteLevel = take('ByteLevel');
  const splitsDigits = byteLevel && take('Digits');
  const splitsTriples = byteLevel && take('Triples');
  if (!byteLevel || rest.length > 0) {
    const kinds = '[Punctuation(Contiguous)] ByteLevel [Digits] [Split [0-9]{3}]';
    throw unsupported(path, `pre-tokenizer ${kindOf(rest[0])} ${JSON.stringify(rest[0] ?? null).slice(0, 300)}`, kinds);
  }
  return { splitsPunctuation, splitsDigits, splitsTriples };
}

function splitMerge(merge: string, path: string): readonly [string, string] {
  const at = merge.indexOf(' ');
  if (at <= 0 || at === merge.length - 1 || merge.indexOf(' ', at + 1) >= 0) {
    throw new LonghaulError('tokenizer_corrupt', `${path}: merge ${JSON.stringify(merge)} is not two parts`);
  }
  return [merge.slice(0, at), merge.slice(at + 1)];
}

function kindOf(json: unknown): string {
  return String((json as { type?: unknown } | null)?.type ?? 'none');
}

function unsupported(path: string, found: string, allowed: string): LonghaulError {
  return new LonghaulError(
    'tokenizer_unsupported',
    `${path}: ${found}: its tokens are not known to be the same when a text comes in parts (supported: ${allowed})`,
  );
}
