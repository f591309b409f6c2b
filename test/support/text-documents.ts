import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Document, TextTokenizer, TokenStream } from '@longhaul/worker/text';

export const repositoryRoot = resolve(import.meta.dirname, '../..');

/** Folder of Falcon's tokenizer and its cases (base/, instruct/, cases.json, chat.json), which is not ours to ship. */
export const falconDir =
  process.env['LONGHAUL_FALCON_TOKENIZER'] ?? resolve(repositoryRoot, '../shared/golden/tokenizer');

/** False, or why a test that needs it is skipped. */
export const noFalcon = existsSync(join(falconDir, 'base/tokenizer.json'))
  ? false
  : `no Falcon tokenizer at ${falconDir} (set LONGHAUL_FALCON_TOKENIZER)`;

/** A document in memory that comes in chunks of the lengths given, over and over; `reads` records where it is opened. */
export function bytesDocument(bytes: Uint8Array, chunkLengths: readonly number[] = [64 * 1024]) {
  const reads: number[] = [];
  const document: Document = {
    pin: { tag: 'sha256:test', bytes: bytes.length },
    totalBytes: bytes.length,
    async *read(from) {
      reads.push(from);
      for (let at = from, i = 0; at < bytes.length; i++) {
        const length = chunkLengths[i % chunkLengths.length]!;
        yield bytes.subarray(at, at + length);
        at += length;
      }
    },
  };
  return { document, reads };
}

export const never = new AbortController().signal;

export async function readRest(stream: TokenStream, count = 4096): Promise<number[]> {
  const tokens: number[] = [];
  for (;;) {
    const some = await stream.read(count, never);
    if (some.length === 0) return tokens;
    for (const token of some) tokens.push(token);
  }
}

/** Every token of a text, read as a document. */
export async function streamTokens(
  tokenizer: TextTokenizer,
  bytes: Uint8Array,
  chunkLengths?: readonly number[],
  invalidUtf8: 'error' | 'replace' = 'error',
): Promise<number[]> {
  const stream = tokenizer.openStream(bytesDocument(bytes, chunkLengths).document, null, { invalidUtf8 });
  try {
    return await readRest(stream);
  } finally {
    await stream.close();
  }
}
