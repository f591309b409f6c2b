import { RejectedJob } from '@longhaul/core/contracts';
import { type ObjectInfo, type ObjectStore, PreconditionFailed } from '@longhaul/core/ledger';

interface Entry {
  readonly body: Uint8Array;
  readonly etag: string;
  readonly modifiedAt: Date;
}

/** An ObjectStore in memory: every call takes effect at once, in one step. */
export class MemoryStore implements ObjectStore {
  readonly url = 'memory://';
  readonly objects = new Map<string, Entry>();
  /** Called after each effective write. */
  onWrite: (key: string, body: Uint8Array, before: Uint8Array | null) => void = () => {};
  #writes = 0;

  async get(key: string, options: { readonly maxBytes: number }) {
    const found = this.objects.get(key);
    if (found === undefined) return null;
    if (found.body.length > options.maxBytes) throw new RejectedJob('object_too_large', `${key} is too large`);
    return { body: found.body.slice(), etag: found.etag };
  }

  async head(key: string): Promise<ObjectInfo | null> {
    const found = this.objects.get(key);
    if (found === undefined) return null;
    return { key, bytes: found.body.length, etag: found.etag, modifiedAt: found.modifiedAt };
  }

  async openRange(key: string, options: { readonly from: number; readonly end?: number }) {
    const found = this.objects.get(key);
    if (found === undefined) return null;
    const rest = found.body.slice(options.from, options.end);
    const stream = (async function* () {
      yield rest;
    })();
    return { etag: found.etag, totalBytes: found.body.length, stream };
  }

  async putIfAbsent(key: string, body: Uint8Array) {
    if (this.objects.has(key)) throw new PreconditionFailed(key, 'it exists');
    return this.write(key, body);
  }

  async putIfMatch(key: string, body: Uint8Array, etag: string) {
    if (this.objects.get(key)?.etag !== etag) throw new PreconditionFailed(key, 'another version');
    return this.write(key, body);
  }

  async putStreamIfAbsent(key: string, body: AsyncIterable<Uint8Array>) {
    const parts: Uint8Array[] = [];
    for await (const part of body) parts.push(part);
    const whole = Buffer.concat(parts);
    return { ...(await this.putIfAbsent(key, whole)), bytes: whole.length };
  }

  async *list(prefix: string, { startAfter = '' }: { readonly startAfter?: string } = {}): AsyncIterable<ObjectInfo> {
    for (const key of [...this.objects.keys()].sort()) {
      const info = key.startsWith(prefix) && key > startAfter ? await this.head(key) : null;
      if (info !== null) yield info;
    }
  }

  async delete(key: string): Promise<void> {
    this.objects.delete(key);
  }

  async close(): Promise<void> {}

  /** Without any condition: what an unsafe store does. */
  write(key: string, body: Uint8Array): { readonly etag: string } {
    const before = this.objects.get(key)?.body ?? null;
    this.#writes += 1;
    const entry = { body: body.slice(), etag: `"${this.#writes}"`, modifiedAt: new Date(this.#writes * 1000) };
    this.objects.set(key, entry);
    this.onWrite(key, entry.body, before);
    return { etag: entry.etag };
  }
}
