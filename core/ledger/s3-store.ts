import {
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import { Abandoned, RejectedJob } from '../contracts/errors.ts';
import { sha256 } from './digest.ts';
import {
  type ObjectInfo,
  type ObjectStore,
  type ObjectStream,
  PreconditionFailed,
  type StoredObject,
} from './object-store.ts';
import { collect, type ResponseBody, receiveNamed } from './s3-body.ts';
import { Budget, isTransient } from './s3-budget.ts';
import { outcomeOf, s3Failure } from './s3-errors.ts';
import { uploadIfAbsent } from './s3-upload.ts';
import type { StoreConfig } from './store-config.ts';
import { checkKey, checkPrefix } from './store-key.ts';

/**
 * A bucket, or a prefix of one, on S3 or a store that speaks it and enforces conditional writes (`probeStore` says).
 *
 * The SDK's own retries are off: a conditional write must not be sent twice without a look in between. After an answer
 * that says nothing for certain (timeout, reset, 5xx, or 412 and 409 behind one of these) the object is read again: our
 * own bytes there mean success. S3's ETag follows from the bytes, so bodies replaced by `putIfMatch` must be unique;
 * `head.json` carries a nonce for that.
 */
export function openS3Store(url: string, settings: StoreConfig): ObjectStore {
  return new S3Store(url, settings);
}

type Condition = { readonly IfNoneMatch: '*' } | { readonly IfMatch: string };

class S3Store implements ObjectStore {
  readonly url: string;
  readonly #config: StoreConfig;
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #closed = new AbortController();

  constructor(url: string, config: StoreConfig) {
    const { hostname, pathname } = new URL(url);
    this.#config = config;
    this.#bucket = hostname;
    const prefix = pathname.replace(/^\/|\/$/g, '');
    this.#prefix = prefix === '' ? '' : `${checkKey(prefix)}/`;
    this.url = `s3://${this.#bucket}${prefix === '' ? '' : `/${prefix}`}`;
    this.#client = new S3Client(clientConfig(config));
  }

  async get(
    key: string,
    options: { readonly maxBytes: number; readonly signal?: AbortSignal },
  ): Promise<StoredObject | null> {
    const budget = this.#budget('reading', key, 0, options.signal);
    for (;;) {
      try {
        const found = await budget.attempt(async (signal) => await this.#request(key, {}, signal));
        const { bytes, etag } = found;
        const stallMs = this.#config.attemptTimeoutMs;
        const body = await collect(key, found.body, {
          bytes,
          stallMs,
          signal: options.signal,
          maxBytes: options.maxBytes,
        });
        return { body, etag };
      } catch (error) {
        options.signal?.throwIfAborted();
        if (outcomeOf(error) === 'absent') return null;
        if (!isTransient(error)) throw s3Failure(budget.doing, error);
        await budget.pause(error);
      }
    }
  }

  async head(key: string, options: { readonly signal?: AbortSignal } = {}): Promise<ObjectInfo | null> {
    return await this.#budget('looking up', key, 0, options.signal).named(async (signal) => {
      try {
        const found = await this.#client.send(new HeadObjectCommand(this.#at(key)), { abortSignal: signal });
        return {
          key,
          bytes: found.ContentLength ?? 0,
          etag: found.ETag ?? '',
          modifiedAt: found.LastModified ?? new Date(0),
        };
      } catch (error) {
        if (outcomeOf(error) === 'absent') return null;
        throw error;
      }
    });
  }

  async openRange(
    key: string,
    options: {
      readonly from: number;
      readonly end?: number;
      readonly ifMatch?: string;
      readonly signal?: AbortSignal;
    },
  ): Promise<ObjectStream | null> {
    const { from, end, ifMatch, signal } = options;
    const budget = this.#budget('reading', key, 0, signal);
    const condition = ifMatch === undefined ? {} : { IfMatch: ifMatch };
    try {
      const found = await budget.retried(
        async (attempt) => await this.#request(key, { ...condition, ...rangeOf(from, end) }, attempt),
      );
      const stallMs = this.#config.attemptTimeoutMs;
      const stream = receiveNamed(budget.doing, found.body, { bytes: found.bytes, stallMs, signal });
      return { etag: found.etag, totalBytes: found.totalBytes, stream };
    } catch (error) {
      signal?.throwIfAborted();
      const outcome = outcomeOf(error);
      if (outcome === 'absent') return null;
      if (outcome === 'refused') {
        throw new RejectedJob('source_changed', `${key} no longer has ETag ${ifMatch}: it changed after it was pinned`);
      }
      if (outcome !== 'past-end') throw s3Failure(budget.doing, error);
    }
    const info = await this.head(key, options);
    if (info === null) return null;
    if (ifMatch !== undefined && info.etag !== ifMatch) {
      throw new RejectedJob('source_changed', `${key} has ETag ${info.etag}; expected ${ifMatch}`);
    }
    return { etag: info.etag, totalBytes: info.bytes, stream: empty() };
  }

  async putIfAbsent(
    key: string,
    body: Uint8Array,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly etag: string }> {
    return await this.#put(key, body, { IfNoneMatch: '*' }, options.signal);
  }

  async putIfMatch(
    key: string,
    body: Uint8Array,
    etag: string,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly etag: string }> {
    return await this.#put(key, body, { IfMatch: etag }, options.signal);
  }

  async putStreamIfAbsent(
    key: string,
    body: AsyncIterable<Uint8Array>,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly etag: string; readonly bytes: number }> {
    return await uploadIfAbsent(body, {
      client: this.#client,
      at: this.#at(key),
      signal: options.signal,
      budget: (doing, bytes) => this.#budget(doing, key, bytes, options.signal),
      putWhole: async (whole) => await this.putIfAbsent(key, whole, options),
    });
  }

  async *list(
    prefix: string,
    options: { readonly startAfter?: string; readonly signal?: AbortSignal } = {},
  ): AsyncIterable<ObjectInfo> {
    checkPrefix(prefix);
    const after = options.startAfter === undefined ? {} : { StartAfter: this.#prefix + options.startAfter };
    const where = { Bucket: this.#bucket, Prefix: this.#prefix + prefix, ...after };
    let token: string | undefined;
    do {
      const next = token === undefined ? {} : { ContinuationToken: token };
      const page = await this.#budget('listing', prefix, 0, options.signal).named(
        async (signal) =>
          await this.#client.send(new ListObjectsV2Command({ ...where, ...next }), { abortSignal: signal }),
      );
      for (const found of page.Contents ?? []) {
        yield {
          key: (found.Key ?? '').slice(this.#prefix.length),
          bytes: found.Size ?? 0,
          etag: found.ETag ?? '',
          modifiedAt: found.LastModified ?? new Date(0),
        };
      }
      token = page.NextContinuationToken;
    } while (token !== undefined);
  }

  async delete(key: string): Promise<void> {
    await this.#budget('deleting', key, 0, undefined).named(
      async (signal) => await this.#client.send(new DeleteObjectCommand(this.#at(key)), { abortSignal: signal }),
    );
  }

  /** Calls under way end with `closed`: a store that is away holds up nobody's exit. */
  async close(): Promise<void> {
    this.#closed.abort(new Abandoned('closed', `${this.url} was closed`));
    this.#client.destroy();
  }

  #at(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + checkKey(key) };
  }

  #budget(doing: string, key: string, bytes: number, signal: AbortSignal | undefined): Budget {
    const signals = signal === undefined ? [this.#closed.signal] : [signal, this.#closed.signal];
    return new Budget(this.#config, `${doing} ${key} in ${this.url}`, bytes, signals);
  }

  async #request(key: string, options: { IfMatch?: string; Range?: string }, attempt: AbortSignal) {
    // The body outlives the attempt that asked for it, so it has a switch of its own.
    const life = new AbortController();
    const abortSignal = AbortSignal.any([attempt, life.signal]);
    const found = await this.#client.send(new GetObjectCommand({ ...this.#at(key), ...options }), { abortSignal });
    const stream = found.Body as (AsyncIterable<Uint8Array> & { destroy(error?: Error): unknown }) | undefined;
    const body: ResponseBody = {
      [Symbol.asyncIterator]: () => (stream ?? empty())[Symbol.asyncIterator](),
      destroy: (error) => {
        stream?.destroy(error);
        life.abort();
      },
    };
    return { body, bytes: found.ContentLength ?? 0, totalBytes: totalBytes(found), etag: found.ETag ?? '' };
  }

  async #put(key: string, body: Uint8Array, condition: Condition, signal: AbortSignal | undefined) {
    const budget = this.#budget('writing', key, body.length, signal);
    const digest = await sha256(body);
    const command = () => {
      const checksum =
        this.#config.requestChecksumCalculation === 'WHEN_SUPPORTED'
          ? { ChecksumSHA256: digest.toString('base64') }
          : {};
      const put = new PutObjectCommand({ ...this.#at(key), ...condition, ...checksum, Body: body });
      // The signature covers the body's digest: given here, the SDK does not hash the body once more.
      put.middlewareStack.add(
        (next) => async (args) => {
          (args.request as { headers: Record<string, string> }).headers['x-amz-content-sha256'] =
            digest.toString('hex');
          return await next(args);
        },
        { step: 'build', name: 'knownPayloadDigest' },
      );
      return put;
    };
    /** An earlier attempt may have been carried out although its answer was lost. */
    let uncertain = false;
    for (;;) {
      let failure: unknown;
      try {
        const done = await budget.attempt(
          async (attempt) => await this.#client.send(command(), { abortSignal: attempt }),
        );
        return { etag: done.ETag ?? '' };
      } catch (error) {
        signal?.throwIfAborted();
        failure = error;
      }
      const outcome = outcomeOf(failure);
      const lost = outcome === 'refused' || (outcome === 'absent' && 'IfMatch' in condition);
      if (!lost && outcome !== 'transient' && outcome !== 'conflict') throw s3Failure(budget.doing, failure);
      if (outcome === 'transient') uncertain = true;
      if (lost && !uncertain) throw new PreconditionFailed(key, `${(failure as Error).name}`);

      const found = await this.#reread(key, body.length, budget);
      if (uncertain && found !== null && found.body !== null && Buffer.compare(found.body, body) === 0) {
        return { etag: found.etag };
      }
      const stillOurs = 'IfMatch' in condition ? found?.etag === condition.IfMatch : found === null;
      if (lost || !stillOurs) {
        throw new PreconditionFailed(key, found === null ? 'it is absent' : `its ETag is ${found.etag}`);
      }
      await budget.pause(failure);
    }
  }

  /** What is there now: its bytes where there are `bytes` of them, else its ETag alone. Retries within the budget. */
  async #reread(
    key: string,
    bytes: number,
    budget: Budget,
  ): Promise<{ readonly etag: string; readonly body: Uint8Array | null } | null> {
    for (;;) {
      try {
        return await budget.attempt(async (signal) => {
          const found = await this.#request(key, {}, signal);
          if (found.bytes !== bytes) {
            found.body.destroy();
            return { etag: found.etag, body: null };
          }
          const stallMs = this.#config.attemptTimeoutMs;
          return {
            etag: found.etag,
            body: await collect(key, found.body, { bytes, stallMs, signal, maxBytes: bytes }),
          };
        });
      } catch (error) {
        if (outcomeOf(error) === 'absent') return null;
        if (!isTransient(error)) throw s3Failure(budget.doing, error);
        await budget.pause(error);
      }
    }
  }
}

function clientConfig(config: StoreConfig): S3ClientConfig {
  const { credentials, endpoint, region } = config;
  const sessionToken = credentials?.sessionToken ?? null;
  return {
    maxAttempts: 1,
    forcePathStyle: config.forcePathStyle,
    requestChecksumCalculation: config.requestChecksumCalculation,
    responseChecksumValidation: config.requestChecksumCalculation,
    requestHandler: { connectionTimeout: Math.min(5000, config.attemptTimeoutMs) },
    ...(endpoint === null ? {} : { endpoint }),
    ...(region === null ? {} : { region }),
    ...(credentials === null
      ? {}
      : {
          credentials: {
            accessKeyId: credentials.accessKeyId,
            secretAccessKey: credentials.secretAccessKey,
            ...(sessionToken === null ? {} : { sessionToken }),
          },
        }),
  };
}

function rangeOf(from: number, end: number | undefined): { readonly Range?: string } {
  if (end !== undefined) return { Range: `bytes=${from}-${end - 1}` };
  return from > 0 ? { Range: `bytes=${from}-` } : {};
}

function totalBytes(found: GetObjectCommandOutput): number {
  const total = /\/(\d+)$/.exec(found.ContentRange ?? '')?.[1];
  return total === undefined ? (found.ContentLength ?? 0) : Number(total);
}

async function* empty(): AsyncGenerator<Uint8Array> {}
