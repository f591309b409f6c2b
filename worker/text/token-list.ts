import { createHash } from 'node:crypto';
import { RejectedJob, type SourcePin } from '@longhaul/core/contracts';
import type { TextCursor, TokenStream } from './ports.ts';
import { checkPin } from './source/raw-source.ts';

/** A document that is given as ids, pinned by their digest. Errors: `source_changed`, and for no place in it `checkpoint_corrupt`. */
export function openTokens(
  tokens: readonly number[],
  open: {
    readonly cursor: string | null;
    readonly pin: SourcePin | null;
    /** Bytes of text that a token stands for. */
    readonly byteLength: (token: number) => number;
  },
): { readonly pin: SourcePin; readonly stream: TokenStream; readonly totalBytes: number } {
  const pin = pinOf(tokens);
  checkPin('the list of tokens', pin, open.pin);
  const stream = new TokenList(tokens, open.cursor, open.byteLength);
  return { pin, stream, totalBytes: stream.totalBytes };
}

/** The digest of the ids as little-endian 32-bit integers. */
function pinOf(tokens: readonly number[]): SourcePin {
  const bytes = Buffer.alloc(4 * tokens.length);
  for (const [i, token] of tokens.entries()) bytes.writeInt32LE(token, 4 * i);
  return { tag: `sha256:${createHash('sha256').update(bytes).digest('hex')}`, bytes: null };
}

/** @throws RejectedJob `token_out_of_range` naming the first id that the model has not */
export function checkTokens(tokens: readonly number[], vocabSize: number): void {
  const index = tokens.findIndex((token) => token >= vocabSize);
  if (index < 0) return;
  throw new RejectedJob(
    'token_out_of_range',
    `token ${index} of the document is ${tokens[index]}; the model has tokens 0 to ${vocabSize - 1}`,
  );
}

/** Ids that stand in the job itself. Offsets count the bytes of text that they stand for; a cursor is a place in the list. */
class TokenList implements TokenStream {
  private readonly tokens: Int32Array;
  private readonly byteLength: (token: number) => number;
  private at: number;
  private bytes: number;

  constructor(tokens: readonly number[], cursor: string | null, byteLength: (token: number) => number) {
    this.tokens = Int32Array.from(tokens);
    this.byteLength = byteLength;
    this.at = cursor === null ? 0 : parsePlace(cursor, tokens.length);
    this.bytes = this.bytesOf(this.tokens.subarray(0, this.at));
  }

  /** Bytes of text that all of them stand for. */
  get totalBytes(): number {
    return this.bytesOf(this.tokens);
  }

  async read(count: number, signal: AbortSignal): Promise<Int32Array> {
    signal.throwIfAborted();
    const part = this.tokens.slice(this.at, this.at + count);
    this.at += part.length;
    this.bytes += this.bytesOf(part);
    return part;
  }

  async peek(signal: AbortSignal): Promise<number | null> {
    signal.throwIfAborted();
    return this.tokens[this.at] ?? null;
  }

  cursor(): TextCursor {
    return { byteOffset: this.bytes, text: String(this.at), reach: null };
  }

  async close(): Promise<void> {}

  private bytesOf(tokens: Int32Array): number {
    let bytes = 0;
    for (const token of tokens) bytes += this.byteLength(token);
    return bytes;
  }
}

function parsePlace(cursor: string, length: number): number {
  const place = /^\d{1,6}$/.test(cursor) ? Number(cursor) : Number.NaN;
  if (place <= length) return place;
  throw new RejectedJob(
    'checkpoint_corrupt',
    `not a place in a list of ${length} tokens: ${JSON.stringify(cursor.slice(0, 200))}`,
  );
}
