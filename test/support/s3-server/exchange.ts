import type { IncomingHttpHeaders } from 'node:http';
import type { ChecksumAlgorithm } from './checksums.ts';
import type { BodyReader, ObjectStorage, StoredObject } from './objects.ts';
import type { ReceivedBody } from './receive.ts';

/** A write of one whole object, in the order of their effects; null is a deletion. */
export interface ObservedWrite {
  readonly key: string;
  readonly body: Buffer | null;
  /** False where a condition refused it: nothing changed. */
  readonly accepted: boolean;
}

/** Called in the same tick as the write itself. Bodies are read for the keys that `wants` names alone. */
export interface WriteObserver {
  wants(key: string): boolean;
  saw(write: ObservedWrite): void;
}

/** A request that has been authenticated and routed, as its operation sees it. */
export interface Exchange {
  readonly storage: ObjectStorage;
  readonly bucket: string;
  /** Empty where the request is about the bucket. */
  readonly key: string;
  readonly query: ReadonlyMap<string, string>;
  /** The conditional headers are missing where the fault `no-conditions` is on. */
  readonly headers: IncomingHttpHeaders;
  readonly onWrite: WriteObserver | null;
  receiveFile(wanted: ChecksumAlgorithm | null): Promise<ReceivedBody>;
  receiveText(): Promise<string>;
}

/** An answer as a value: it may still be dropped, cut or corrupted on its way out. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | BodyReader | null;
}

export const xmlReply = (status: number, body: Buffer, headers: Readonly<Record<string, string>> = {}): Reply => ({
  status,
  headers: { 'content-type': 'application/xml', ...headers },
  body,
});

export const emptyReply = (status: number, headers: Readonly<Record<string, string>> = {}): Reply => ({
  status,
  headers,
  body: null,
});

const kept = [
  'content-type',
  'content-encoding',
  'cache-control',
  'content-disposition',
  'content-language',
  'expires',
];

/** The headers of a write that every read gives back. */
export function keptHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const out: Record<string, string> = { 'content-type': 'binary/octet-stream' };
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value !== 'string' || !(kept.includes(name) || name.startsWith('x-amz-meta-'))) continue;
    const encodings = value.split(',').map((one) => one.trim());
    const plain = name === 'content-encoding' ? encodings.filter((one) => one !== 'aws-chunked').join(',') : value;
    if (plain !== '') out[name] = plain;
  }
  return out;
}

export function requireObject(exchange: Exchange, missing: (key: string) => Error): StoredObject {
  const object = exchange.storage.bucket(exchange.bucket).get(exchange.key);
  if (object === undefined) throw missing(exchange.key);
  return object;
}
