export interface ArrivalsListener {
  onPart(name: string, part: number): void;
  onFailure(error: unknown): void;
}

/** Parts that have come, and who waits for them. */
export class Arrivals {
  readonly #partBytes: number;
  readonly #parts = new Map<string, Set<number>>();
  readonly #waiting = new Set<{
    readonly met: () => boolean;
    readonly resolve: () => void;
    reject(error: unknown): void;
  }>();
  readonly #listeners = new Set<ArrivalsListener>();
  #failure: { readonly error: unknown } | null = null;

  constructor(partBytes: number) {
    this.#partBytes = partBytes;
  }

  add(name: string, part: number): void {
    const parts = this.#parts.get(name) ?? new Set();
    if (parts.has(part)) return;
    this.#parts.set(name, parts.add(part));
    for (const { onPart } of this.#listeners) onPart(name, part);
    for (const waiting of this.#waiting) {
      if (!waiting.met()) continue;
      this.#waiting.delete(waiting);
      waiting.resolve();
    }
  }

  /** Nothing more will come: whoever waits, or asks later for what is not there, gets the error. */
  fail(error: unknown): void {
    if (this.#failure !== null) return;
    this.#failure = { error };
    for (const { onFailure } of this.#listeners) onFailure(error);
    for (const { reject } of this.#waiting) reject(error);
    this.#waiting.clear();
  }

  has(name: string, part: number): boolean {
    return this.#parts.get(name)?.has(part) ?? false;
  }

  /** Resolves when bytes [from, end) of the file are there. */
  async until(name: string, from: number, end: number): Promise<void> {
    // A file without bytes has no parts: none of it ever arrives.
    if (end <= from) return;
    const first = Math.floor(from / this.#partBytes);
    const last = Math.floor((end - 1) / this.#partBytes);
    const met = () => {
      for (let part = first; part <= last; part++) if (!this.has(name, part)) return false;
      return true;
    };
    if (met()) return;
    if (this.#failure !== null) throw this.#failure.error;
    await new Promise<void>((resolve, reject) => this.#waiting.add({ met, resolve, reject }));
  }

  /** Tells of every part, those that are there first, and of the failure. The returned function ends it. */
  listen(listener: ArrivalsListener): () => void {
    for (const [name, parts] of this.#parts) for (const part of parts) listener.onPart(name, part);
    if (this.#failure !== null) listener.onFailure(this.#failure.error);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
