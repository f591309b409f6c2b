import { createHash, randomBytes } from 'node:crypto';

const BITS = 2 ** 23;
const HASHES = 4;

/**
 * A set of keys in one MiB, however many there are (a Bloom filter): a key that was added is always found, one that was
 * not is found by chance, in about 2 % of cases at a million keys. Which ones differs from filter to filter.
 */
export class KeyFilter {
  readonly #bits = new Uint8Array(BITS / 8);
  readonly #salt = randomBytes(16);

  add(key: string): void {
    for (const bit of this.#bitsOf(key)) this.#bits[bit >> 3]! |= 1 << (bit & 7);
  }

  has(key: string): boolean {
    return this.#bitsOf(key).every((bit) => (this.#bits[bit >> 3]! & (1 << (bit & 7))) !== 0);
  }

  #bitsOf(key: string): number[] {
    const digest = createHash('sha256').update(this.#salt).update(key).digest();
    return Array.from({ length: HASHES }, (_, i) => digest.readUInt32LE(i * 4) % BITS);
  }
}
