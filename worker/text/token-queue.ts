/** Tokens that wait for their reader, in order. `total` counts all that were ever put in. */
export class TokenQueue {
  total = 0;
  #tokens = new Int32Array(16 * 1024);
  #from = 0;
  #to = 0;

  get length(): number {
    return this.#to - this.#from;
  }

  push(token: number): void {
    if (this.#to === this.#tokens.length) this.#makeRoom();
    this.#tokens[this.#to++] = token;
    this.total++;
  }

  first(): number | null {
    return this.#from < this.#to ? this.#tokens[this.#from]! : null;
  }

  take(count: number): Int32Array {
    const taken = this.#tokens.slice(this.#from, Math.min(this.#from + count, this.#to));
    this.#from += taken.length;
    return taken;
  }

  #makeRoom(): void {
    const live = this.#tokens.subarray(this.#from, this.#to);
    const room = live.length * 2 > this.#tokens.length ? new Int32Array(this.#tokens.length * 2) : this.#tokens;
    room.set(live);
    this.#tokens = room;
    this.#to = live.length;
    this.#from = 0;
  }
}
