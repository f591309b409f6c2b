import type { IncomingMessage } from 'node:http';
import { type LonghaulError, RejectedJob, RetryableFailure, type SourcePin } from '@longhaul/core/contracts';
import { type HttpsOptions, RequestFailed, readBody, requestPublic } from '@longhaul/core/net';
import { readPersistently } from './persistent-read.ts';
import { changed, describePin, firstBytes, type RawSource } from './raw-source.ts';

/** Pin of an answer that names no version: it can be read once, from the start, in one go. */
const unnamedVersion = 'stat:none';

/**
 * A document on the web, pinned by its strong ETag, else by Last-Modified and length. Where a server gives neither, a
 * first read works, and everything that would have to go on in the middle is refused.
 */
export async function openHttps(
  url: string,
  options: HttpsOptions & { readonly patienceMs: number },
  signal: AbortSignal,
): Promise<RawSource> {
  const name = new URL(url).origin + new URL(url).pathname;
  const persistently = { name, patienceMs: options.patienceMs };
  const first: { pin: SourcePin | null } = { pin: null };
  // One small request tells the version, the size and the container.
  const start = await firstBytes(readPersistently(ask, 0, { ...persistently, signal }));

  async function* ask(): AsyncGenerator<Uint8Array> {
    const response = await get(url, { range: 'bytes=0-3' }, options, signal);
    if (response.statusCode === 416 && /\/0$/.test(response.headers['content-range'] ?? '')) {
      response.destroy();
      first.pin = { tag: unnamedVersion, bytes: 0 };
      return;
    }
    checkStatus(name, response);
    first.pin = pinOf(response);
    yield* body(response, name, options, signal);
  }

  async function* open(from: number, fixed: SourcePin, reading: AbortSignal): AsyncGenerator<Uint8Array> {
    if (fixed.tag === unnamedVersion && from > 0) throw unproven(name, from);
    const response = await get(
      url,
      { ...(from > 0 ? { range: `bytes=${from}-` } : {}), ...condition(fixed) },
      options,
      reading,
    );
    if (response.statusCode === 412) {
      response.destroy();
      throw changed(name, describePin(fixed), 'another version (412)');
    }
    checkStatus(name, response);
    const found = pinOf(response);
    if (found.tag !== fixed.tag || found.bytes !== fixed.bytes) {
      response.destroy();
      throw changed(name, describePin(fixed), describePin(found));
    }
    // A server that ignores ranges sends everything; what has been read is skipped.
    let at = response.statusCode === 206 ? rangeStart(response) : 0;
    if (at > from) {
      response.destroy();
      throw new RejectedJob('source_unreadable', `${name} answers a range from ${from} with one from ${at}`);
    }
    for await (const chunk of body(response, name, options, reading)) {
      const skip = Math.min(chunk.length, Math.max(0, from - at));
      at += chunk.length;
      if (skip < chunk.length) yield chunk.subarray(skip);
    }
    if (fixed.bytes !== null && at !== fixed.bytes) {
      throw new RetryableFailure('source_unreadable', `${name} ended after ${at} of ${fixed.bytes} bytes`);
    }
  }

  const fixed = first.pin;
  if (fixed === null) throw new RetryableFailure('source_unreadable', `${name} gave no answer`);
  return {
    name,
    pin: fixed,
    head: async () => start,
    read: (from, reading) =>
      from === fixed.bytes
        ? readPersistently(() => nothing(), from, { ...persistently, signal: reading })
        : readPersistently((at) => open(at, fixed, reading), from, { ...persistently, signal: reading }),
  };
}

/** A resume of a document whose server names no version: nothing shows that it is still the same. */
export function unproven(name: string, from: number): RejectedJob {
  return new RejectedJob(
    'source_changed',
    `${name} cannot be read on from offset ${from}: its server gives neither a strong ETag nor Last-Modified with a length, so that nothing shows it is the same; upload it instead`,
  );
}

export function isUnnamedVersion(pin: SourcePin): boolean {
  return pin.tag === unnamedVersion;
}

/** Redirects of a document that are followed. */
const maxRedirects = 3;

async function get(
  url: string,
  headers: Readonly<Record<string, string>>,
  options: HttpsOptions,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  try {
    return await requestPublic(url, { method: 'GET', headers, body: null, maxRedirects }, options, signal);
  } catch (error) {
    throw sourceError(error);
  }
}

async function* body(
  response: IncomingMessage,
  name: string,
  options: HttpsOptions,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    yield* readBody(response, name, options, signal);
  } catch (error) {
    throw sourceError(error);
  }
}

/** What a request that came to nothing means for the job: only a broken connection is worth another try. */
function sourceError(error: unknown): LonghaulError {
  if (!(error instanceof RequestFailed)) throw error;
  const { fault, message, cause } = error;
  switch (fault) {
    case 'forbidden':
      return new RejectedJob('source_forbidden', `${message}: workers read only public https addresses`, { cause });
    case 'no_host':
      return new RejectedJob('source_not_found', message, { cause });
    case 'untrusted':
    case 'redirected':
      return new RejectedJob('source_unreadable', message, { cause });
    case 'broken':
      return new RetryableFailure('source_unreadable', message, { cause });
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

function condition(pin: SourcePin): Record<string, string> {
  return pin.tag.startsWith('etag:') ? { 'if-match': pin.tag.slice('etag:'.length) } : {};
}

function checkStatus(name: string, response: IncomingMessage): void {
  const status = response.statusCode ?? 0;
  const encoding = response.headers['content-encoding'] ?? 'identity';
  if ((status === 200 || status === 206) && encoding === 'identity') return;
  response.destroy();
  if (status === 200 || status === 206) {
    const message = `${name} sends Content-Encoding ${encoding}, whose bytes may differ from one answer to the next`;
    throw new RejectedJob('source_unreadable', message);
  }
  if (status === 404 || status === 410) throw new RejectedJob('source_not_found', `${name} does not exist (${status})`);
  if (status === 401 || status === 403)
    throw new RejectedJob('source_forbidden', `${name} may not be read (${status})`);
  const message = `${name} answers ${status}`;
  if (status >= 500 || status === 408 || status === 429) throw new RetryableFailure('source_unreadable', message);
  throw new RejectedJob('source_unreadable', message);
}

function pinOf(response: IncomingMessage): SourcePin {
  const { etag, 'last-modified': lastModified } = response.headers;
  const bytes = totalBytes(response);
  if (etag?.startsWith('"') && etag.length <= 1000) return { tag: `etag:${etag}`, bytes };
  if (lastModified !== undefined && bytes !== null)
    return { tag: `stat:${bytes}:${lastModified.slice(0, 100)}`, bytes };
  return { tag: unnamedVersion, bytes };
}

function totalBytes(response: IncomingMessage): number | null {
  const text =
    response.statusCode === 206
      ? /^bytes \d+-\d+\/(\d+)$/.exec(response.headers['content-range'] ?? '')?.[1]
      : response.headers['content-length'];
  const bytes = Number(text);
  return text !== undefined && Number.isSafeInteger(bytes) && bytes >= 0 ? bytes : null;
}

function rangeStart(response: IncomingMessage): number {
  const start = /^bytes (\d+)-/.exec(response.headers['content-range'] ?? '')?.[1];
  return start === undefined ? Number.POSITIVE_INFINITY : Number(start);
}
