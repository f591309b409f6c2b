import { limits } from '../contracts/limits.ts';

/** A small set of lines at or behind a first one, as it travels in a head. */
export class LineSet {
  private readonly bits: Uint8Array;
  private readonly first: number;

  constructor(first: number, base64 = '') {
    this.first = first;
    this.bits = new Uint8Array(Math.ceil(limits.batchAhead / 8));
    this.bits.set(Buffer.from(base64, 'base64').subarray(0, this.bits.length));
  }

  has(line: number): boolean {
    const at = line - this.first;
    return at >= 0 && (((this.bits[at >> 3] ?? 0) >> (at & 7)) & 1) === 1;
  }

  add(line: number): void {
    const at = line - this.first;
    if (at < 0 || at >= limits.batchAhead) {
      throw new RangeError(`line ${line} is not within ${limits.batchAhead} of ${this.first}`);
    }
    this.bits[at >> 3]! |= 1 << (at & 7);
  }

  get size(): number {
    let size = 0;
    for (const byte of this.bits) for (let b = byte; b !== 0; b &= b - 1) size += 1;
    return size;
  }

  /** The same lines, seen from a later first one: those before it are left out. */
  from(first: number): LineSet {
    const next = new LineSet(first);
    for (let line = first; line < this.first + limits.batchAhead; line++) if (this.has(line)) next.add(line);
    return next;
  }

  toString(): string {
    const end = this.bits.findLastIndex((byte) => byte !== 0) + 1;
    return Buffer.from(this.bits.subarray(0, end)).toString('base64');
  }
}
