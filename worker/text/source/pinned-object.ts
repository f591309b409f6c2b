import { RejectedJob, RetryableFailure } from '@longhaul/core/contracts';
import type { ObjectStore } from '@longhaul/core/ledger';
import { readPersistently } from './persistent-read.ts';
import { changed, firstBytes, type RawSource } from './raw-source.ts';

/** An object of a store, pinned by its ETag. The name is for messages. */
export async function openObject(
  store: ObjectStore,
  key: string,
  options: { readonly name: string; readonly patienceMs: number; readonly signal: AbortSignal },
): Promise<RawSource> {
  const { name, patienceMs } = options;
  const info = await store.head(key, { signal: options.signal });
  if (info === null) throw new RejectedJob('source_not_found', `${name} does not exist`);
  const { etag, bytes } = info;

  async function* open(from: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const object = await store.openRange(key, { from, ifMatch: etag, signal });
    if (object === null) throw new RejectedJob('source_not_found', `${name} does not exist any more`);
    if (object.etag !== etag) throw changed(name, `etag:${etag}`, `etag:${object.etag}`);
    let at = from;
    for await (const part of object.stream) {
      at += part.length;
      yield part;
    }
    if (at !== bytes) {
      throw new RetryableFailure('source_unreadable', `${name} ended after ${at} of ${bytes} bytes`);
    }
  }

  const read = (from: number, signal: AbortSignal) =>
    readPersistently((at) => open(at, signal), from, { name, patienceMs, signal });
  return {
    name,
    pin: { tag: `etag:${etag}`, bytes },
    head: (signal) => firstBytes(read(0, signal)),
    read,
  };
}
