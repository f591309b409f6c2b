import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { LonghaulError, RejectedJob, RetryableFailure } from '@longhaul/core/contracts';
import { checkHost, guardedLookup } from './address-guard.ts';

export interface HttpsOptions {
  /** Hosts that may have any address; for tests. */
  readonly allowHosts?: readonly string[];
  /** PEM of a certificate authority to trust instead of the system's; for tests. */
  readonly ca?: string;
  /** Longest silence while we wait: for an answer, or for the next bytes. */
  readonly silenceMs?: number;
}

const redirects = new Set([301, 302, 303, 307, 308]);
const maxRedirects = 3;

/** A GET over https to public addresses, through at most 3 redirects that are held to the same rules. */
export async function get(
  address: string,
  headers: Readonly<Record<string, string>>,
  options: HttpsOptions,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  let url = checkUrl(address, address, options);
  for (let hop = 0; ; hop++) {
    const response = await send(url, headers, options, signal);
    const { location } = response.headers;
    if (!redirects.has(response.statusCode ?? 0) || location === undefined) return response;
    response.destroy();
    if (hop === maxRedirects) {
      throw new RejectedJob('source_unreadable', `${address} is redirected more than ${maxRedirects} times`);
    }
    url = checkUrl(URL.parse(location, url.href)?.href ?? location, address, options);
  }
}

/** The bytes of an answer; whatever breaks, or says nothing for too long while we wait, is worth another try. */
export async function* body(
  response: IncomingMessage,
  name: string,
  options: HttpsOptions,
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
    throw new RetryableFailure('source_unreadable', `the connection to ${name} broke`, { cause });
  } finally {
    signal.removeEventListener('abort', onAbort);
    response.destroy();
  }
}

function checkUrl(address: string, asked: string, options: HttpsOptions): URL {
  const from = address === asked ? '' : `${asked} leads to `;
  const url = URL.parse(address);
  if (url === null) throw new RejectedJob('source_forbidden', `${from}${address}: not a URL`);
  if (url.protocol !== 'https:') {
    throw new RejectedJob('source_forbidden', `${from}${url.protocol}//${url.host}: only https is read`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new RejectedJob('source_forbidden', `${from}a URL of ${url.host} with a user name or password in it`);
  }
  checkHost(url.hostname, options.allowHosts ?? []);
  return url;
}

async function send(
  url: URL,
  headers: Readonly<Record<string, string>>,
  options: HttpsOptions,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const outgoing = request(url, {
    headers: { 'accept-encoding': 'identity', 'user-agent': 'longhaul', ...headers },
    lookup: guardedLookup(options.allowHosts ?? []),
    // A connection of its own: none that was checked for another name is used again.
    agent: false,
    signal,
    ...(options.ca === undefined ? {} : { ca: options.ca }),
  });
  const timer = setTimeout(() => outgoing.destroy(new Error(silence(options))), silenceMs(options));
  outgoing.once('response', resolve).once('error', reject).end();
  try {
    return await promise;
  } catch (cause) {
    signal.throwIfAborted();
    throw connectionError(url, cause);
  } finally {
    clearTimeout(timer);
  }
}

function connectionError(url: URL, cause: unknown): LonghaulError {
  if (cause instanceof LonghaulError) return cause;
  const code = String((cause as NodeJS.ErrnoException).code ?? '');
  if (code === 'ENOTFOUND') return new RejectedJob('source_not_found', `no host ${url.hostname}`, { cause });
  if (/^(ERR_TLS|CERT_)|SELF_SIGNED|UNABLE_TO_(VERIFY|GET)/.test(code)) {
    return new RejectedJob('source_unreadable', `the certificate of ${url.host} is not trusted`, { cause });
  }
  return new RetryableFailure('source_unreadable', `${url.host} cannot be reached`, { cause });
}

function silenceMs(options: HttpsOptions): number {
  return options.silenceMs ?? 30_000;
}

function silence(options: HttpsOptions): string {
  return `nothing came for ${silenceMs(options) / 1000} s`;
}
