import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { guardedLookup, type Resolve } from './address-guard.ts';
import { parsePublicUrl, type UrlRules } from './public-url.ts';
import { RequestFailed } from './request-failed.ts';

export interface HttpsOptions extends UrlRules {
  /** PEM of a certificate authority to trust instead of the system's; for tests. */
  readonly ca?: string;
  /** Longest silence while we wait: for an answer, or for the next bytes. 30 s by default. */
  readonly silenceMs?: number;
  /** In place of the system's name resolution; for tests. */
  readonly resolve?: Resolve;
}

export interface HttpsRequest {
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  /** Null with GET. */
  readonly body: Uint8Array | string | null;
  /** Followed with the same method, headers and body, and each held to the same rules. */
  readonly maxRedirects: number;
}

const redirects = new Set([301, 302, 303, 307, 308]);

/**
 * One request over https to public addresses only. The answer's body is for `readBody`, or to be destroyed.
 * @throws RequestFailed with why, naming the first address where it lies behind a redirect; the signal's reason
 */
export async function requestPublic(
  address: string,
  asked: HttpsRequest,
  options: HttpsOptions,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  let url = parsePublicUrl(address, options);
  const first = url.origin + url.pathname;
  for (let hop = 0; ; hop++) {
    const response = await send(url, asked, options, signal);
    const { location } = response.headers;
    if (!redirects.has(response.statusCode ?? 0) || location === undefined) return response;
    response.destroy();
    if (hop === asked.maxRedirects) throw new RequestFailed('redirected', tooMany(first, asked.maxRedirects));
    try {
      url = parsePublicUrl(URL.parse(location, url.href)?.href ?? location, options);
    } catch (error) {
      if (!(error instanceof RequestFailed)) throw error;
      throw new RequestFailed(error.fault, `${first} leads to ${error.message}`, { cause: error.cause });
    }
  }
}

/** The bytes of an answer; `broken` where the connection breaks, or nothing comes for too long while we wait. */
export async function* readBody(
  response: IncomingMessage,
  name: string,
  options: Pick<HttpsOptions, 'silenceMs'>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const chunks = response[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  const onAbort = (): void => void response.destroy();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    for (;;) {
      const timer = setTimeout(() => response.destroy(new Error(silence(options))), silenceMs(options));
      const next = await chunks.next().finally(() => clearTimeout(timer));
      signal.throwIfAborted();
      if (next.done) return;
      yield next.value;
    }
  } catch (cause) {
    signal.throwIfAborted();
    throw new RequestFailed('broken', `the connection to ${name} broke`, { cause });
  } finally {
    signal.removeEventListener('abort', onAbort);
    response.destroy();
  }
}

async function send(
  url: URL,
  { method, headers, body }: HttpsRequest,
  options: HttpsOptions,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const length = body === null ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  const outgoing = request(url, {
    method,
    headers: { 'accept-encoding': 'identity', 'user-agent': 'longhaul', ...headers, ...length },
    lookup: guardedLookup(options.allowHosts ?? [], options.resolve),
    // A connection of its own: none that was checked for another name is used again.
    agent: false,
    signal,
    ...(options.ca === undefined ? {} : { ca: options.ca }),
  });
  const timer = setTimeout(() => outgoing.destroy(new Error(silence(options))), silenceMs(options));
  outgoing.once('response', resolve).once('error', reject);
  outgoing.end(body ?? undefined);
  try {
    return await promise;
  } catch (cause) {
    signal.throwIfAborted();
    throw connectionError(url, cause);
  } finally {
    clearTimeout(timer);
  }
}

function connectionError(url: URL, cause: unknown): RequestFailed {
  if (cause instanceof RequestFailed) return cause;
  const code = String((cause as NodeJS.ErrnoException).code ?? '');
  if (code === 'ENOTFOUND') return new RequestFailed('no_host', `no host ${url.hostname}`, { cause });
  if (/^(ERR_TLS|CERT_)|SELF_SIGNED|UNABLE_TO_(VERIFY|GET)/.test(code)) {
    return new RequestFailed('untrusted', `the certificate of ${url.host} is not trusted`, { cause });
  }
  return new RequestFailed('broken', `${url.host} cannot be reached`, { cause });
}

function tooMany(name: string, most: number): string {
  return most === 0
    ? `${name} answers with a redirect, and none is followed`
    : `${name} is redirected more than ${most} times`;
}

function silenceMs(options: Pick<HttpsOptions, 'silenceMs'>): number {
  return options.silenceMs ?? 30_000;
}

function silence(options: Pick<HttpsOptions, 'silenceMs'>): string {
  return `nothing came for ${silenceMs(options) / 1000} s`;
}
