import { alphabetBytes, alphabetChar } from './byte-alphabet.ts';
import { IntPairTable } from './int-pair-table.ts';

/** Longest piece, in symbols, that is merged by scanning; longer ones go through a heap. */
const scanSymbols = 48;
/** Pieces up to this many bytes are remembered; prose repeats its words. */
const rememberedBytes = 48;
const rememberedPieces = 100_000;

/**
 * Byte-pair encoding as Hugging Face's Rust library does it: of all adjacent pairs that have a merge, the one of lowest
 * rank is merged first, the leftmost of equals, until none is left. Bytes without a token vanish before that, so that
 * their neighbours become adjacent.
 */
export class Bpe {
  /** Token of each byte, -1 where the vocabulary has none. */
  readonly byteToken: Int32Array;
  /** Bytes of each token by id, null for ids that no merge can reach by bytes. */
  readonly tokenBytes: readonly (Buffer | null)[];
  /** Longest token in bytes. */
  readonly maxTokenBytes: number;
  /** (left, right) -> (rank, merged). */
  readonly #merges: IntPairTable;
  readonly #remembered = new Map<string, number | Int32Array>();
  #symbols = new Int32Array(scanSymbols);
  #ranks = new Int32Array(scanSymbols);

  /** `merges` in rank order; every name in them is an entry of `vocab` (the Rust library has checked that). */
  constructor(vocab: Readonly<Record<string, number>>, merges: readonly (readonly [string, string])[]) {
    const entries = new Map(Object.entries(vocab));
    const tokenBytes: (Buffer | null)[] = [];
    for (const [entry, id] of entries) tokenBytes[id] = alphabetBytes(entry);
    for (let id = 0; id < tokenBytes.length; id++) tokenBytes[id] ??= null;
    this.tokenBytes = tokenBytes;
    this.maxTokenBytes = tokenBytes.reduce((longest, bytes) => Math.max(longest, bytes?.length ?? 0), 1);
    this.byteToken = Int32Array.from({ length: 256 }, (_, byte) => entries.get(alphabetChar(byte)) ?? -1);
    this.#merges = new IntPairTable(merges.length + 1);
    merges.forEach(([left, right], rank) => {
      this.#merges.set(entries.get(left)!, entries.get(right)!, rank, entries.get(left + right)!);
    });
  }

  /** Tokens of one whole piece: bytes [from, to) of `bytes`, which `latin1` holds as one character each. */
  encodePiece(bytes: Buffer, latin1: string, from: number, to: number, out: TokenSink): void {
    if (to - from > rememberedBytes) {
      const symbols = this.symbolsOf(bytes, from, to);
      const n = this.merge(symbols, symbols.length);
      for (let i = 0; i < n; i++) out.push(symbols[i]!);
      return;
    }
    let tokens = this.#remembered.get(latin1.slice(from, to));
    if (tokens === undefined) {
      tokens = this.#encodeShort(bytes, from, to);
      if (this.#remembered.size >= rememberedPieces) this.#remembered.clear();
      // A fresh string: a slice as key would keep its whole parent alive.
      this.#remembered.set(bytes.toString('latin1', from, to), tokens);
    }
    if (typeof tokens === 'number') out.push(tokens);
    else for (let i = 0; i < tokens.length; i++) out.push(tokens[i]!);
  }

  /** The tokens of single bytes; bytes without one are left out. */
  symbolsOf(bytes: Uint8Array, from: number, to: number): Int32Array {
    const symbols = new Int32Array(to - from);
    let n = 0;
    for (let i = from; i < to; i++) {
      const token = this.byteToken[bytes[i]!]!;
      if (token >= 0) symbols[n++] = token;
    }
    return symbols.subarray(0, n);
  }

  /** Merges `symbols[0, n)` in place; returns how many are left. */
  merge(symbols: Int32Array, n: number): number {
    return n <= scanSymbols ? this.#mergeByScan(symbols, n) : this.#mergeByHeap(symbols, n);
  }

  /** Whether the bytes of the two tokens encode to exactly these two. */
  stable(left: number, right: number): boolean {
    const a = this.tokenBytes[left]!;
    const b = this.tokenBytes[right]!;
    const n = this.#fill(b, 0, b.length, this.#fill(a, 0, a.length, 0));
    return this.merge(this.#symbols, n) === 2 && this.#symbols[0] === left && this.#symbols[1] === right;
  }

  /** Whether the bytes of the token encode to it; a vocabulary may hold entries that no encoding gives. */
  reachable(token: number): boolean {
    const bytes = this.tokenBytes[token]!;
    const n = this.#fill(bytes, 0, bytes.length, 0);
    return this.merge(this.#symbols, n) === 1 && this.#symbols[0] === token;
  }

  #encodeShort(bytes: Uint8Array, from: number, to: number): number | Int32Array {
    const filled = this.#fill(bytes, from, to, 0);
    const n = this.merge(this.#symbols, filled);
    return n === 1 ? this.#symbols[0]! : this.#symbols.slice(0, n);
  }

  #fill(bytes: Uint8Array, from: number, to: number, at: number): number {
    if (this.#symbols.length < at + to - from) {
      const grown = new Int32Array((at + to - from) * 2);
      grown.set(this.#symbols);
      this.#symbols = grown;
    }
    let n = at;
    for (let i = from; i < to; i++) {
      const token = this.byteToken[bytes[i]!]!;
      if (token >= 0) this.#symbols[n++] = token;
    }
    return n;
  }

  #rank(left: number, right: number): number {
    const row = this.#merges.find(left, right);
    return row < 0 ? 0x7fffffff : this.#merges.x(row);
  }

  #mergeByScan(symbols: Int32Array, count: number): number {
    const ranks = this.#ranks;
    let n = count;
    for (let i = 0; i + 1 < n; i++) ranks[i] = this.#rank(symbols[i]!, symbols[i + 1]!);
    for (;;) {
      let best = -1;
      let bestRank = 0x7fffffff;
      for (let i = 0; i + 1 < n; i++) {
        if (ranks[i]! < bestRank) {
          best = i;
          bestRank = ranks[i]!;
        }
      }
      if (best < 0) return n;
      symbols[best] = this.#merges.y(this.#merges.find(symbols[best]!, symbols[best + 1]!));
      n--;
      for (let i = best + 1; i < n; i++) {
        symbols[i] = symbols[i + 1]!;
        ranks[i] = ranks[i + 1]!;
      }
      if (best > 0) ranks[best - 1] = this.#rank(symbols[best - 1]!, symbols[best]!);
      if (best + 1 < n) ranks[best] = this.#rank(symbols[best]!, symbols[best + 1]!);
    }
  }

  #mergeByHeap(symbols: Int32Array, count: number): number {
    // rank * span + position orders by rank, then from the left; both parts stay exact in a double.
    const span = count + 1;
    const next = new Int32Array(count);
    const prev = new Int32Array(count);
    const heap = new MinHeap(count);
    const offer = (i: number): void => {
      const j = next[i]!;
      if (j >= count) return;
      const row = this.#merges.find(symbols[i]!, symbols[j]!);
      if (row >= 0) heap.push(this.#merges.x(row) * span + i);
    };
    for (let i = 0; i < count; i++) {
      next[i] = i + 1;
      prev[i] = i - 1;
    }
    for (let i = 0; i + 1 < count; i++) offer(i);
    while (heap.size > 0) {
      const key = heap.pop();
      const i = key % span;
      const j = next[i]!;
      if (j >= count || symbols[i]! < 0) continue;
      const row = this.#merges.find(symbols[i]!, symbols[j]!);
      // An entry is stale when a neighbour has been merged since: the pair there now has another rank.
      if (row < 0 || this.#merges.x(row) !== (key - i) / span) continue;
      symbols[i] = this.#merges.y(row);
      symbols[j] = -1;
      next[i] = next[j]!;
      next[j] = count;
      if (next[i]! < count) prev[next[i]!] = i;
      offer(i);
      if (prev[i]! >= 0) offer(prev[i]!);
    }
    let n = 0;
    for (let i = 0; i < count; i++) if (symbols[i]! >= 0) symbols[n++] = symbols[i]!;
    return n;
  }
}

export interface TokenSink {
  push(token: number): void;
}

class MinHeap {
  size = 0;
  #keys: Float64Array;

  constructor(capacity: number) {
    this.#keys = new Float64Array(capacity + 16);
  }

  push(key: number): void {
    if (this.size === this.#keys.length) {
      const grown = new Float64Array(this.size * 2);
      grown.set(this.#keys);
      this.#keys = grown;
    }
    const keys = this.#keys;
    let i = this.size++;
    while (i > 0) {
      const up = (i - 1) >> 1;
      if (keys[up]! <= key) break;
      keys[i] = keys[up]!;
      i = up;
    }
    keys[i] = key;
  }

  pop(): number {
    const keys = this.#keys;
    const top = keys[0]!;
    const last = keys[--this.size]!;
    const half = this.size >> 1;
    let i = 0;
    while (i < half) {
      let child = 2 * i + 1;
      if (child + 1 < this.size && keys[child + 1]! < keys[child]!) child++;
      if (keys[child]! >= last) break;
      keys[i] = keys[child]!;
      i = child;
    }
    keys[i] = last;
    return top;
  }
}
