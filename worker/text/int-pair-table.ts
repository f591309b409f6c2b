/** (a, b) -> (x, y) over non-negative 31-bit integers: open addressing in one flat array, built once, read often. */
export class IntPairTable {
  readonly #mask: number;
  /** Rows of a, b, x, y; a = -1 is free. */
  readonly #rows: Int32Array;

  constructor(capacity: number) {
    let size = 16;
    while (size < capacity * 2) size *= 2;
    this.#mask = size - 1;
    this.#rows = new Int32Array(size * 4).fill(-1);
  }

  set(a: number, b: number, x: number, y: number): void {
    const rows = this.#rows;
    let at = this.#slot(a, b);
    while (rows[at] !== -1 && (rows[at] !== a || rows[at + 1] !== b)) at = (at + 4) & (this.#mask * 4 + 3);
    rows[at] = a;
    rows[at + 1] = b;
    rows[at + 2] = x;
    rows[at + 3] = y;
  }

  /** Row of the pair, or -1; `x` and `y` read it. */
  find(a: number, b: number): number {
    const rows = this.#rows;
    let at = this.#slot(a, b);
    for (;;) {
      const found = rows[at]!;
      if (found === -1) return -1;
      if (found === a && rows[at + 1] === b) return at;
      at = (at + 4) & (this.#mask * 4 + 3);
    }
  }

  x(row: number): number {
    return this.#rows[row + 2]!;
  }

  y(row: number): number {
    return this.#rows[row + 3]!;
  }

  #slot(a: number, b: number): number {
    let h = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b);
    h ^= h >>> 15;
    return (h & this.#mask) * 4;
  }
}
