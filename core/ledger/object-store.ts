/**
 * What the ledger needs of an object store. Two adapters exist, `s3://` and `file://`, and one conformance suite
 * (`test/integration/store-conformance.ts`) that both pass. Keys are `/`-separated, relative to the store's root.
 *
 * Errors: `store_unavailable` (unreachable, throttled, 5xx, after the adapter's own retries), `store_denied`,
 * `store_full`, `object_too_large`; all are RetryableFailure unless the same call can never work.
 */
export interface ObjectStore {
  /** `s3://bucket/prefix` or `file:///dir`, for messages. */
  readonly url: string;

  /** The whole object, or null where there is none. `maxBytes` guards memory: larger is `object_too_large`. */
  get(key: string, options: { readonly maxBytes: number; readonly signal?: AbortSignal }): Promise<StoredObject | null>;

  head(key: string, options?: { readonly signal?: AbortSignal }): Promise<ObjectInfo | null>;

  /**
   * Streams bytes [from, end), to the end of the object where `end`, which is above `from`, is not given. With `ifMatch`, an object that has changed since is `source_changed`.
   * Null where there is none. A connection that breaks midway makes the stream throw `store_unavailable`.
   */
  openRange(
    key: string,
    options: {
      readonly from: number;
      readonly end?: number;
      readonly ifMatch?: string;
      readonly signal?: AbortSignal;
    },
  ): Promise<ObjectStream | null>;

  /** Creates. Throws PreconditionFailed where the key exists. Atomic and durable: all of it or nothing. */
  putIfAbsent(
    key: string,
    body: Uint8Array,
    options?: { readonly signal?: AbortSignal },
  ): Promise<{ readonly etag: string }>;

  /** Replaces exactly the version `etag`. Throws PreconditionFailed where it is another one, or absent. */
  putIfMatch(
    key: string,
    body: Uint8Array,
    etag: string,
    options?: { readonly signal?: AbortSignal },
  ): Promise<{ readonly etag: string }>;

  /** Creates from a stream of unknown length in bounded memory. Throws PreconditionFailed where the key exists. */
  putStreamIfAbsent(
    key: string,
    body: AsyncIterable<Uint8Array>,
    options?: { readonly signal?: AbortSignal },
  ): Promise<{ readonly etag: string; readonly bytes: number }>;

  /** In key order; those behind the key `startAfter`, where it is given. */
  list(
    prefix: string,
    options?: { readonly startAfter?: string; readonly signal?: AbortSignal },
  ): AsyncIterable<ObjectInfo>;

  /** Deleting what is absent is no error. */
  delete(key: string): Promise<void>;

  close(): Promise<void>;
}

export interface StoredObject {
  readonly body: Uint8Array;
  readonly etag: string;
}

export interface ObjectInfo {
  readonly key: string;
  readonly bytes: number;
  readonly etag: string;
  readonly modifiedAt: Date;
}

export interface ObjectStream {
  readonly etag: string;
  readonly totalBytes: number;
  readonly stream: AsyncIterable<Uint8Array>;
}

/** A conditional write that lost: somebody else wrote first. */
export class PreconditionFailed extends Error {
  readonly key: string;
  constructor(key: string, detail: string) {
    super(`conditional write of ${key} refused: ${detail}`);
    this.name = 'PreconditionFailed';
    this.key = key;
  }
}
