import {
  type Compression,
  type JoinedSource,
  RejectedJob,
  type SourcePin,
  type TextSource,
} from '@longhaul/core/contracts';

import type { ObjectStore } from '@longhaul/core/ledger';
import type { HttpsOptions } from '@longhaul/core/net';
import type { Document } from '../ports.ts';
import { type Container, detectContainer, detectPaper, inflate } from './compression.ts';
import { openFile } from './file.ts';
import { isUnnamedVersion, openHttps, unproven } from './https.ts';
import { openInline } from './inline.ts';
import { openJoined } from './joined.ts';
import { checkPin, type RawSource } from './raw-source.ts';
import { openS3 } from './s3.ts';
import { openStored } from './stored.ts';

export interface OpenDocumentOptions {
  /** The ledger's own store, for `stored`. */
  readonly store: ObjectStore;
  /** For `s3`; null where the worker has no S3 settings. */
  readonly openBucket: ((bucket: string) => Promise<ObjectStore>) | null;
  /** Directories below which `file` may read. */
  readonly fileRoots: readonly string[];
  readonly compression: Compression;
  /** What the document was at first read; null at first read. */
  readonly pin: SourcePin | null;
  readonly signal: AbortSignal;
  /** Inflated bytes for each compressed one that a document may have, once it has more than 64 MiB. */
  readonly inflateRatio?: number;
  readonly http?: HttpsOptions;
  /** How long a source may give nothing before the job goes back to the queue. */
  readonly patienceMs?: number;
}

/**
 * Opens and pins a document; of a joined one, every part.
 * Errors: `source_not_found`, `source_forbidden`, `source_empty`, `source_too_large`, `source_changed` (all final),
 * `source_unreadable` (final or retryable); while reading also `corrupt_compression` and `checkpoint_corrupt` (an
 * offset behind the end).
 */
export async function openDocument(source: TextSource | JoinedSource, options: OpenDocumentOptions): Promise<Document> {
  if (source.kind !== 'joined') return await openText(source, options);
  // What a part was at first read is in the pin of the whole.
  const openPart = (part: TextSource) => openText(part, { ...options, pin: null });
  return await openJoined(source, { pin: options.pin, openPart });
}

async function openText(source: TextSource, options: OpenDocumentOptions): Promise<Document> {
  const raw = await openRaw(source, options);
  const { name, pin } = raw;
  checkPin(name, pin, options.pin);
  if (options.pin !== null && isUnnamedVersion(pin)) throw unproven(name, 0);
  if (pin.bytes === 0) throw new RejectedJob('source_empty', `${name} has no bytes`);
  const { compression, signal } = options;
  const container = compression === 'auto' ? containerOf(await raw.head(signal), name) : compression;
  const ratio = options.inflateRatio ?? defaultInflateRatio;
  return {
    pin,
    totalBytes: container === 'none' ? pin.bytes : null,
    read: (from, reading) =>
      container === 'none' ? readPlain(raw, from, reading) : readInflated(raw, container, ratio, from, reading),
  };
}

/** Far above what text compresses to: a document beyond it is made to keep a worker busy. */
export const defaultInflateRatio = 200;
const freeInflatedBytes = 64 * 1024 * 1024;

function containerOf(head: Uint8Array, name: string): Container {
  const paper = detectPaper(head);
  if (paper === null) return detectContainer(head);
  const message = `${name} is ${paper}, which workers do not read: submit it as a local file, and its text is extracted (or say compression none where it is text all the same)`;
  throw new RejectedJob('source_unreadable', message);
}

async function openRaw(source: TextSource, options: OpenDocumentOptions): Promise<RawSource> {
  const { signal } = options;
  const patienceMs = options.patienceMs ?? 60_000;
  switch (source.kind) {
    case 'stored':
      return await openStored(source.key, options.store, { patienceMs, signal });
    case 's3':
      return await openS3(source, options.openBucket, { patienceMs, signal });
    case 'file':
      return await openFile(source.path, options.fileRoots);
    case 'https':
      return await openHttps(source.url, { ...options.http, patienceMs }, signal);
    case 'inline':
      return openInline(source.text);
  }
}

async function* readPlain(raw: RawSource, from: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  if (raw.pin.bytes !== null && from > raw.pin.bytes) throw behindTheEnd(raw, from, raw.pin.bytes);
  let at = from;
  for await (const chunk of raw.read(from, signal)) {
    at += chunk.length;
    yield chunk;
  }
  if (at === 0) throw new RejectedJob('source_empty', `${raw.name} has no bytes`);
}

/** Compressed streams cannot be entered in the middle: everything before `from` is inflated and dropped. */
async function* readInflated(
  raw: RawSource,
  container: 'gzip' | 'zstd',
  ratio: number,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let at = 0;
  let compressed = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const chunk of raw.read(0, signal)) {
      compressed += chunk.length;
      yield chunk;
    }
  }
  for await (const chunk of inflate(counted(), container, raw.name)) {
    signal.throwIfAborted();
    if (at > freeInflatedBytes && at > ratio * compressed) throw bomb(raw, at, compressed, ratio);
    const skip = Math.min(chunk.length, Math.max(0, from - at));
    at += chunk.length;
    if (skip < chunk.length) yield chunk.subarray(skip);
  }
  if (at === 0) throw new RejectedJob('source_empty', `${raw.name} has no bytes once decompressed`);
  if (at < from) throw behindTheEnd(raw, from, at);
}

function bomb(raw: RawSource, inflated: number, compressed: number, ratio: number): RejectedJob {
  return new RejectedJob(
    'source_too_large',
    `${raw.name}: its first ${compressed} compressed bytes inflate to more than ${inflated}: at most ${ratio} for each are read (LONGHAUL_INFLATE_RATIO)`,
  );
}

function behindTheEnd(raw: RawSource, from: number, bytes: number): RejectedJob {
  return new RejectedJob('checkpoint_corrupt', `offset ${from} lies behind the end of ${raw.name} (${bytes} bytes)`);
}
