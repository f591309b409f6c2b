import { RejectedJob } from '@longhaul/core/contracts';
import type { Bpe, TokenSink } from './bpe.ts';
import type { SettledPrefix } from './settled-prefix.ts';

/** No vocabulary in use comes near this; one that does is refused instead of filling the memory. */
const unsettledBytes = 256 * 1024;

/** A piece without an end in sight: gives out its settled tokens and keeps the bytes of the rest. */
export class LongPiece {
  readonly #bpe: Bpe;
  readonly #settled: SettledPrefix;
  /** Bytes that have a token, and for each its document position (decoded bytes) x 4 + its place in its character. */
  #bytes = new Uint8Array(32 * 1024);
  #positions = new Float64Array(32 * 1024);
  #n = 0;
  /** True once tokens have been given out or all bytes have vanished: the piece's start is not the place to resume. */
  advanced = false;

  constructor(bpe: Bpe, settled: SettledPrefix) {
    this.#bpe = bpe;
    this.#settled = settled;
  }

  /** The first byte that is not yet settled, and the first byte of its character; null where there is none. */
  get unsettled(): { readonly position: number; readonly character: number } | null {
    if (this.#n === 0) return null;
    const place = this.#positions[0]! % 4;
    const position = (this.#positions[0]! - place) / 4;
    return { position, character: position - place };
  }

  /** `position` is that of `bytes[from]` in the document, `place` its place in its character (0 to 3). */
  push(bytes: Uint8Array, from: number, to: number, position: number, place: number): void {
    this.#reserve(this.#n + to - from);
    let inCharacter = place;
    for (let i = from; i < to; i++) {
      if ((bytes[i]! & 0xc0) !== 0x80) inCharacter = 0;
      if (this.#bpe.byteToken[bytes[i]!]! >= 0) {
        this.#positions[this.#n] = (position + (i - from)) * 4 + inCharacter;
        this.#bytes[this.#n++] = bytes[i]!;
      }
      inCharacter++;
    }
  }

  /** Gives out what is settled, unless that ends before document position `notBefore`. */
  settle(out: TokenSink, notBefore: number): void {
    if (this.#n === 0) {
      this.advanced = true;
      return;
    }
    const tokens = this.#encode();
    const count = this.#settled.count(this.#bytes.subarray(0, this.#n), tokens);
    const length = tokens.subarray(0, count).reduce((sum, t) => sum + this.#bpe.tokenBytes[t]!.length, 0);
    // A byte at the border is still there: settled tokens never reach the last byte.
    if (length > 0 && this.#positions[length]! >= (notBefore + 3) * 4) {
      for (let i = 0; i < count; i++) out.push(tokens[i]!);
      this.advanced = true;
      this.#bytes.copyWithin(0, length, this.#n);
      this.#positions.copyWithin(0, length, this.#n);
      this.#n -= length;
    }
    if (this.#n > unsettledBytes) {
      throw new RejectedJob(
        'tokenizer_unsupported',
        `${this.#n} bytes without a word border have no settled tokens; at most ${unsettledBytes} are held`,
      );
    }
  }

  finish(out: TokenSink): void {
    const tokens = this.#encode();
    for (let i = 0; i < tokens.length; i++) out.push(tokens[i]!);
    this.#n = 0;
    this.advanced = false;
  }

  #encode(): Int32Array {
    const symbols = this.#bpe.symbolsOf(this.#bytes, 0, this.#n);
    return symbols.subarray(0, this.#bpe.merge(symbols, symbols.length));
  }

  #reserve(size: number): void {
    if (size <= this.#bytes.length) return;
    const bytes = new Uint8Array(size * 2);
    const positions = new Float64Array(size * 2);
    bytes.set(this.#bytes);
    positions.set(this.#positions);
    this.#bytes = bytes;
    this.#positions = positions;
  }
}
