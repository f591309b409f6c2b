import type { Bpe } from './bpe.ts';
import { IntPairTable } from './int-pair-table.ts';

const stableSlots = 1 << 16;

/**
 * Which tokens of an unfinished piece stay the same, however the piece goes on.
 *
 * Pair lemma: tokens t1 … tn are the encoding of their bytes exactly when every adjacent pair encodes to itself.
 * (Before the first merge across a border, the symbols on each side have evolved as they do alone, so that merge would
 * also happen when the two neighbours are encoded by themselves; the converse is the same argument.)
 * It follows that prefixes and suffixes of an encoding, cut at its borders, are encodings too, and that the encoding
 * of every byte prefix is that of a shorter prefix and one token: a tree of prefixes.
 *
 * Settling rule: let m be a border in the encoding of the first W bytes, and L the longest token. If the encoding of
 * every prefix [0, p) with W - L < p <= W has the border m, then so has every longer text: the token that covers byte W
 * starts at such a p, and what is before p is the encoding of [0, p). What lies before m never changes again.
 */
export class SettledPrefix {
  readonly #bpe: Bpe;
  /** (node, byte) -> (child, token or -1): every reachable token by its bytes. */
  readonly #trie: IntPairTable;
  readonly #stableKeys = new Float64Array(stableSlots).fill(-1);
  readonly #stableValues = new Uint8Array(stableSlots);

  constructor(bpe: Bpe) {
    this.#bpe = bpe;
    this.#trie = buildTrie(bpe);
  }

  /**
   * How many of `tokens`, the encoding of all of `bytes`, are settled; 0 where that cannot be told yet.
   * Time is linear in `bytes` in the worst case and constant in the usual one.
   */
  count(bytes: Uint8Array, tokens: Int32Array): number {
    const longest = this.#bpe.maxTokenBytes;
    let tokenCount = tokens.length;
    let border = bytes.length;
    for (let reach = Math.max(64, 2 * longest); reach < bytes.length; reach *= 2) {
      while (tokenCount > 0 && border > bytes.length - reach) {
        border -= this.#bpe.tokenBytes[tokens[--tokenCount]!]!.length;
      }
      if (tokenCount === 0) return 0;
      if (this.#everyEndMeets(bytes, border, tokens[tokenCount - 1]!)) return tokenCount;
    }
    return 0;
  }

  /** Whether every prefix that ends in the last `maxTokenBytes` bytes has `border`, whose left token is `left`. */
  #everyEndMeets(bytes: Uint8Array, border: number, left: number): boolean {
    const length = bytes.length - border;
    // last[p]: the last token of the encoding of [0, border + p), -1 where that encoding jumps over the border.
    const last = new Int32Array(length + 1).fill(-1);
    last[0] = left;
    for (let p = 0; p < length; p++) {
      const before = last[p]!;
      if (before < 0) continue;
      let node = 0;
      for (let q = p; q < length; q++) {
        const row = this.#trie.find(node, bytes[border + q]!);
        if (row < 0) break;
        const token = this.#trie.y(row);
        if (token >= 0 && last[q + 1]! < 0 && this.#stable(before, token)) last[q + 1] = token;
        node = this.#trie.x(row);
      }
    }
    for (let p = Math.max(0, length + 1 - this.#bpe.maxTokenBytes); p <= length; p++) if (last[p]! < 0) return false;
    return true;
  }

  #stable(left: number, right: number): boolean {
    const key = left * 0x80000000 + right;
    const slot = (Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)) >>> 16;
    if (this.#stableKeys[slot] !== key) {
      this.#stableKeys[slot] = key;
      this.#stableValues[slot] = this.#bpe.stable(left, right) ? 1 : 0;
    }
    return this.#stableValues[slot] === 1;
  }
}

function buildTrie(bpe: Bpe): IntPairTable {
  const tokens = bpe.tokenBytes.flatMap((bytes, id) => (bytes?.length && bpe.reachable(id) ? [{ id, bytes }] : []));
  const trie = new IntPairTable(tokens.reduce((sum, { bytes }) => sum + bytes.length, 1));
  let nodes = 1;
  for (const { id, bytes } of tokens) {
    let node = 0;
    bytes.forEach((byte, i) => {
      const row = trie.find(node, byte);
      const child = row < 0 ? nodes++ : trie.x(row);
      const token = i === bytes.length - 1 ? id : row < 0 ? -1 : trie.y(row);
      trie.set(node, byte, child, token);
      node = child;
    });
  }
  return trie;
}
