import { isUtf8 } from 'node:buffer';
import { type InvalidUtf8, RejectedJob } from '@longhaul/core/contracts';

const replacement = Buffer.from('\ufffd');

/**
 * Length of the character at `bytes[i]`: n > 0 for a whole one, -n for an ill-formed maximal subpart of n bytes
 * (Unicode 3.9, table 3-7), 0 for a sound beginning that the end cuts off.
 */
export function sequenceLength(bytes: Uint8Array, i: number, end: number): number {
  const first = bytes[i]!;
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return -1;
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  for (let k = 1; k < length; k++) {
    if (i + k >= end) return 0;
    const byte = bytes[i + k]!;
    if (byte < (k === 1 ? low : 0x80) || byte > (k === 1 ? high : 0xbf)) return -k;
  }
  return length;
}

/** A stretch of sound UTF-8 and the input offset where it comes from. */
export interface DecodedBytes {
  readonly bytes: Buffer;
  /** Where output and input part: at output byte `at` of `bytes` and later, input = output + `shift`, counted anew. */
  readonly shifts: readonly { readonly at: number; readonly shift: number }[];
}

/**
 * Chunks of bytes to chunks of sound UTF-8, whatever the split. A character cut off by the chunk waits for the next.
 * A byte order mark stays, as a character.
 */
export class Utf8Chunks {
  readonly #mode: InvalidUtf8;
  #held: Buffer;
  /** Input bytes taken so far, those held included. */
  #offset: number;

  /** `offset` is that of the first byte to come, for messages; `held` begins a character that comes on. */
  constructor(mode: InvalidUtf8, offset: number, held: Buffer = Buffer.alloc(0)) {
    this.#mode = mode;
    this.#offset = offset;
    this.#held = held;
  }

  /** The beginning of a character, 0 to 3 bytes, that waits for the next chunk. */
  get held(): Buffer {
    return this.#held;
  }

  push(chunk: Uint8Array): DecodedBytes {
    const bytes =
      this.#held.length > 0
        ? Buffer.concat([this.#held, chunk])
        : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    this.#offset += chunk.length;
    const end = bytes.length - cutOffLength(bytes);
    this.#held = Buffer.from(bytes.subarray(end));
    return this.#decode(bytes.subarray(0, end), this.#offset - bytes.length);
  }

  /** The end: what is still held is an incomplete character. */
  end(): DecodedBytes {
    const held = this.#held;
    this.#held = Buffer.alloc(0);
    return this.#decode(held, this.#offset - held.length);
  }

  #decode(bytes: Buffer, offset: number): DecodedBytes {
    if (isUtf8(bytes)) return { bytes, shifts: [] };
    const parts: Buffer[] = [];
    const shifts: { at: number; shift: number }[] = [];
    let size = 0;
    let from = 0;
    for (let i = 0; i < bytes.length; ) {
      const length = sequenceLength(bytes, i, bytes.length);
      if (length > 0) {
        i += length;
        continue;
      }
      const bad = length < 0 ? -length : bytes.length - i;
      if (this.#mode === 'error') {
        const hex = bytes.subarray(i, i + bad).toString('hex');
        const what = length < 0 ? 'are not UTF-8' : 'are an incomplete UTF-8 character at the end';
        throw new RejectedJob('invalid_utf8', `the document's bytes 0x${hex} at offset ${offset + i} ${what}`);
      }
      parts.push(bytes.subarray(from, i), replacement);
      size += i - from + replacement.length;
      shifts.push({ at: size, shift: bad - replacement.length });
      i += bad;
      from = i;
    }
    parts.push(bytes.subarray(from));
    return { bytes: Buffer.concat(parts), shifts };
  }
}

/** How many bytes at the end begin a character that is not complete: 0 to 3. */
function cutOffLength(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back]!;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return sequenceLength(bytes, bytes.length - back, bytes.length) === 0 ? back : 0;
  }
  return 0;
}
