import { RejectedJob } from '../contracts/errors.ts';
import type { ObjectStore } from '../ledger/object-store.ts';
import { keys } from './keys.ts';

/** A file as a source knows it. */
export interface SourceFile {
  readonly name: string;
  readonly sha256: string;
  readonly bytes: number;
}

/**
 * Where the bytes of a model's files come from. A file that changes while it is read is `source_changed`; a source that
 * is away, or a connection that breaks, is a RetryableFailure.
 */
export interface PartSource {
  /** For messages. */
  readonly url: string;
  /** Bytes [from, end) of a file. */
  openRange(
    file: SourceFile,
    range: { readonly from: number; readonly end: number },
    signal: AbortSignal,
  ): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** The files of a pushed model. Each is pinned by the ETag of its first answer. */
export function storeSource(store: ObjectStore): PartSource {
  const etags = new Map<string, string>();
  return {
    url: store.url,
    async *openRange({ name, sha256, bytes }, { from, end }, signal) {
      const key = keys.file(sha256);
      const ifMatch = etags.get(key);
      const found = await store.openRange(key, { from, end, signal, ...(ifMatch === undefined ? {} : { ifMatch }) });
      if (found === null) throw new RejectedJob('model_incomplete', `${name}: ${key} is missing in ${store.url}`);
      if (found.totalBytes !== bytes) {
        const text = `${name}: ${key} in ${store.url} holds ${found.totalBytes} bytes; expected ${bytes}`;
        throw new RejectedJob('model_corrupt', text);
      }
      etags.set(key, etags.get(key) ?? found.etag);
      yield* found.stream;
    },
    close: () => store.close(),
  };
}
