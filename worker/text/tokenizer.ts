import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Tokenizer as RustTokenizer } from '@anush008/tokenizers';
import { type InvalidUtf8, LonghaulError } from '@longhaul/core/contracts';
import { AddedTokens } from './added-tokens.ts';
import { Bpe } from './bpe.ts';
import { alphabetChar } from './byte-alphabet.ts';
import { ByteDecoder } from './byte-decoder.ts';
import { ChatTemplate, TokenizerConfig } from './chat-template.ts';
import { CodePointClasses, digitBytes } from './code-point-classes.ts';
import { DocumentTokens } from './document-tokens.ts';
import { IncrementalEncoder, type TokenizerParts } from './incremental-encoder.ts';
import type { Document, Tokenizer, TokenStream } from './ports.ts';
import { SettledPrefix } from './settled-prefix.ts';
import { TokenQueue } from './token-queue.ts';
import { describeTokenizer, type TokenizerDescription } from './tokenizer-file.ts';

export interface TextTokenizer extends Tokenizer {
  /** Tokens of a document from `cursor` on (null: from its start). `checkpoint_corrupt` for what is no cursor. */
  openStream(document: Document, cursor: string | null, options: { readonly invalidUtf8: InvalidUtf8 }): TokenStream;
}

/** Every splitter has something to do here: see `checkAgainst`. */
const probe =
  "It's  been 1234567 days, hasn't it? \n\n\tWe'll see: «3½ naïve cafés»… '' 're x²\u00a0y\u3000 z\r\n" +
  '日本語の文 и русский текст\u000b\u0003a 😀👍🏽 --------- !!!===+++ aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa   ';

/**
 * Loads `tokenizer.json` and what stands beside it.
 * Errors: `tokenizer_not_found`, `tokenizer_corrupt`, `tokenizer_unsupported` (naming the kind).
 */
export async function loadTokenizer(modelDir: string): Promise<TextTokenizer> {
  const path = join(modelDir, 'tokenizer.json');
  const configPath = join(modelDir, 'tokenizer_config.json');
  const templatePath = join(modelDir, 'chat_template.jinja');
  const [bytes, configBytes, template] = await Promise.all([
    readOptional(path),
    readOptional(configPath),
    readOptional(templatePath),
  ]);
  if (bytes === null) throw new LonghaulError('tokenizer_not_found', `${path} does not exist`);
  const description = describeTokenizer(parseJson(bytes, path), path);
  const config = parseConfig(configBytes, configPath);
  const chat = ChatTemplate.of(
    config,
    template?.toString('utf8') ?? null,
    template === null ? configPath : templatePath,
  );
  const rust = loadRust(bytes, description, path);
  const parts = partsOf(description);
  const decoder = new ByteDecoder(description);
  const digest = createHash('sha256')
    .update(bytes)
    .update(configBytes ?? '')
    .update(template ?? '')
    .digest('hex');

  const encode = async (text: string): Promise<Int32Array> => {
    const encoding = await rust.encode(text, null, { addSpecialTokens: false });
    return Int32Array.from(encoding.getIds());
  };
  await checkAgainst(encode, parts, path);
  return {
    digest,
    vocabSize: decoder.size,
    encode,
    decode: (tokens) => decoder.decode(tokens),
    decoder: (held) => decoder.stream(held),
    textOf: (token) => decoder.textOf(token),
    byteLength: (token) => decoder.bytes(token).length,
    hasChat: chat !== null,
    renderChat(messages, options) {
      if (chat === null) throw new LonghaulError('tokenizer_unsupported', `${modelDir} has no chat template`);
      return chat.render(messages, options);
    },
    openStream: (document, cursor, { invalidUtf8 }) => new DocumentTokens(parts, document, cursor, invalidUtf8),
  };
}

function partsOf(description: TokenizerDescription): TokenizerParts {
  const bpe = new Bpe(description.vocab, description.merges);
  let settled: SettledPrefix | null = null;
  return {
    bpe,
    settledPrefix: () => {
      settled ??= new SettledPrefix(bpe);
      return settled;
    },
    classes: new CodePointClasses(),
    addedTokens: new AddedTokens(description.addedTokens),
    splitsPunctuation: description.splitsPunctuation,
    digits: description.splitsDigits ? digitBytes(alphabetChar) : null,
    splitsTriples: description.splitsTriples,
  };
}

/** The Rust library is the reference: a file that the stream reads in another way is refused before it is used. */
async function checkAgainst(encode: Tokenizer['encode'], parts: TokenizerParts, path: string): Promise<void> {
  const queue = new TokenQueue();
  const encoder = new IncrementalEncoder(parts, { position: 0, state: 0, drop: 0 }, queue);
  encoder.push(Buffer.from(probe));
  encoder.end();
  const streamed = queue.take(queue.length);
  const whole = await encode(probe);
  if (streamed.length === whole.length && whole.every((token, i) => token === streamed[i])) return;
  const at = whole.findIndex((token, i) => token !== streamed[i]);
  throw new LonghaulError(
    'tokenizer_unsupported',
    `${path}: streamed tokens differ from the library's at token ${at} of a probe: ${streamed[at]}, not ${whole[at]}`,
  );
}

function loadRust(bytes: Buffer, description: TokenizerDescription, path: string): RustTokenizer {
  let rust: RustTokenizer;
  try {
    rust = RustTokenizer.fromString(bytes.toString('utf8'));
  } catch (cause) {
    throw new LonghaulError('tokenizer_corrupt', `${path} is refused by the tokenizers library`, { cause });
  }
  // The file may ask for a longest length; a prompt is never cut.
  rust.disableTruncation();
  rust.disablePadding();
  for (const { id, content } of description.addedTokens) {
    const found = rust.tokenToId(content);
    if (found !== id) {
      const message = `${path}: added token ${JSON.stringify(content)} has id ${id} in the file, ${found} when loaded`;
      throw new LonghaulError('tokenizer_corrupt', message);
    }
  }
  return rust;
}

async function readOptional(path: string): Promise<Buffer | null> {
  try {
    return await readFile(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new LonghaulError('tokenizer_corrupt', `${path} cannot be read`, { cause });
  }
}

function parseJson(bytes: Buffer, path: string): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new LonghaulError('tokenizer_corrupt', `${path} is not JSON`, { cause });
  }
}

function parseConfig(bytes: Buffer | null, path: string): TokenizerConfig {
  const parsed = TokenizerConfig.safeParse(bytes === null ? {} : parseJson(bytes, path));
  if (parsed.success) return parsed.data;
  throw new LonghaulError('tokenizer_corrupt', `${path} is not a tokenizer configuration`, { cause: parsed.error });
}
