import { createHash, type Hash } from 'node:crypto';

export interface Digests {
  readonly sha256: string;
  /** sha256 of each part, in their order. */
  readonly parts: string[];
}

/** The digests of a file, and of its parts, as its bytes go by in pieces of any size. */
export class RunningDigests {
  bytes = 0;
  readonly #partBytes: number | null;
  readonly #whole = createHash('sha256');
  readonly #parts: string[] = [];
  #part: Hash | null = null;
  #inPart = 0;

  /** Null: parts are not asked for. */
  constructor(partBytes: number | null) {
    this.#partBytes = partBytes;
  }

  add(piece: Uint8Array): void {
    this.#whole.update(piece);
    this.bytes += piece.length;
    if (this.#partBytes === null) return;
    for (let at = 0; at < piece.length; ) {
      this.#part ??= createHash('sha256');
      const taken = piece.subarray(at, at + this.#partBytes - this.#inPart);
      this.#part.update(taken);
      this.#inPart += taken.length;
      at += taken.length;
      if (this.#inPart === this.#partBytes) this.#cut();
    }
  }

  end(): Digests {
    if (this.#part !== null) this.#cut();
    return { sha256: this.#whole.digest('hex'), parts: this.#parts };
  }

  #cut(): void {
    this.#parts.push(this.#part!.digest('hex'));
    this.#part = null;
    this.#inPart = 0;
  }
}
