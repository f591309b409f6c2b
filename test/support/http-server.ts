import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ByteRange, parseRange } from './s3-server/ranges.ts';
import { selfSignedCertificate } from './self-signed.ts';

export interface ServedDocument {
  readonly body: Uint8Array;
  /** `strong` (by default) and `weak` follow the content; any other text is sent as it is, null sends none. */
  readonly etag?: 'strong' | 'weak' | (string & {}) | null;
  readonly lastModified?: Date;
  /** Content-Type, Content-Encoding and the like. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Without, Range is ignored and the answer is the whole document. */
  readonly ranges?: boolean;
  /** Without, the length is not said and the body goes out chunked. */
  readonly sized?: boolean;
  /** Answered instead of the document: 403, 404, 500 … */
  readonly status?: number;
  /** Answered as a 302 to this address. */
  readonly redirectTo?: string;
  /** The connection breaks behind so many body bytes of an answer. */
  readonly truncateAfter?: number;
  /** How many answers misbehave by `status` or `truncateAfter` before the document is served in order; all by default. */
  readonly faultyAnswers?: number;
  /** Body pieces of this size, with this pause before each. */
  readonly pace?: { readonly bytes: number; readonly pauseMs: number };
}

export interface DocumentRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

export interface DocumentServer {
  /** `http://127.0.0.1:port` and `https://127.0.0.1:port`; both serve the same documents. */
  readonly httpUrl: string;
  readonly httpsUrl: string;
  /** PEM; what a client must trust to speak with `httpsUrl`. */
  readonly ca: string;
  readonly requests: readonly DocumentRequest[];
  /** Serves the document from now on; a second call replaces it. Null takes it away (404). */
  serve(path: string, document: ServedDocument | null): void;
  /** Called before each answer, for changing the content between two reads. */
  onRequest: ((request: DocumentRequest) => void) | null;
  close(): Promise<void>;
}

/** Documents on 127.0.0.1 over HTTP and HTTPS, as well-behaved or as badly as a test needs. */
export async function startDocumentServer(): Promise<DocumentServer> {
  const documents = new Map<string, ServedDocument>();
  const faultsGiven = new Map<ServedDocument, number>();
  const requests: DocumentRequest[] = [];
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    const entry = { method: request.method ?? '', path: request.url ?? '', headers: request.headers };
    requests.push(entry);
    self.onRequest?.(entry);
    const document = documents.get(entry.path);
    const given = document === undefined ? 0 : (faultsGiven.get(document) ?? 0);
    if (document !== undefined) faultsGiven.set(document, given + 1);
    const faulty = given < (document?.faultyAnswers ?? Number.POSITIVE_INFINITY);
    // A client that hangs up midway leaves nobody to answer.
    answer(request, response, document, faulty).catch(() => response.destroy());
  };

  const { cert, key } = selfSignedCertificate();
  const plain = await listen(createServer(handle));
  const secure = await listen(createTlsServer({ cert, key }, handle));
  let closing: Promise<unknown> | null = null;
  const self: DocumentServer = {
    httpUrl: `http://127.0.0.1:${plain.port}`,
    httpsUrl: `https://127.0.0.1:${secure.port}`,
    ca: cert,
    requests,
    onRequest: null,
    serve(path, document) {
      if (document === null) documents.delete(path);
      else documents.set(path, document);
    },
    async close() {
      closing ??= Promise.all([plain.close(), secure.close()]);
      await closing;
    },
  };
  return self;
}

async function listen(server: Server): Promise<{ port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  document: ServedDocument | undefined,
  faulty: boolean,
): Promise<void> {
  if (document === undefined) return refuse(response, 404);
  if (document.status !== undefined && faulty) return refuse(response, document.status);
  if (document.redirectTo !== undefined) return refuse(response, 302, { location: document.redirectTo });
  const { body, sized = true, truncateAfter, pace } = document;
  const etag = etagOf(document);
  const validators = {
    ...(etag === null ? {} : { etag }),
    ...(document.lastModified === undefined ? {} : { 'last-modified': document.lastModified.toUTCString() }),
  };
  const ifMatch = request.headers['if-match'];
  if (ifMatch !== undefined && ifMatch !== '*' && !strongMatch(ifMatch, etag)) return refuse(response, 412);
  const ifNoneMatch = request.headers['if-none-match'];
  if (ifNoneMatch !== undefined && ifNoneMatch === etag) return refuse(response, 304, validators);

  let range: ByteRange | null = null;
  if (document.ranges !== false && ifRangeHolds(request, validators)) {
    try {
      range = parseRange(request.headers.range, body.length);
    } catch {
      return refuse(response, 416, { 'content-range': `bytes */${body.length}` });
    }
  }
  const { from, end } = range ?? { from: 0, end: body.length };
  response.writeHead(range === null ? 200 : 206, {
    'content-type': 'text/plain',
    ...document.headers,
    ...validators,
    ...(document.ranges === false ? {} : { 'accept-ranges': 'bytes' }),
    ...(range === null ? {} : { 'content-range': `bytes ${from}-${end - 1}/${body.length}` }),
    ...(sized ? { 'content-length': String(end - from) } : {}),
  });
  if (request.method === 'HEAD') return void response.end();
  const stop = faulty && truncateAfter !== undefined ? Math.min(end, from + truncateAfter) : end;
  response.flushHeaders();
  const step = pace?.bytes ?? 64 * 1024;
  for (let at = from; at < stop; at += step) {
    if (pace !== undefined) await sleep(pace.pauseMs);
    if (response.destroyed) return;
    await write(response, body.subarray(at, Math.min(at + step, stop)));
  }
  if (stop < end) response.destroy();
  else response.end();
}

function refuse(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  response.writeHead(status, headers).end(status === 304 ? undefined : `${status}\n`);
}

const write = (response: ServerResponse, data: Uint8Array) =>
  new Promise<void>((resolve, reject) => response.write(data, (error) => (error ? reject(error) : resolve())));

function etagOf({ etag = 'strong', body }: ServedDocument): string | null {
  if (etag !== 'strong' && etag !== 'weak') return etag;
  const digest = createHash('sha1').update(body).digest('hex');
  return etag === 'weak' ? `W/"${digest}"` : `"${digest}"`;
}

/** A weak ETag never matches strongly (RFC 9110, 8.8.3.2), so it can guard no range. */
const strongMatch = (claim: string, etag: string | null) =>
  etag !== null && !etag.startsWith('W/') && claim.split(',').some((one) => one.trim() === etag);

function ifRangeHolds(request: IncomingMessage, validators: Readonly<Record<string, string>>): boolean {
  const claim = request.headers['if-range'];
  if (claim === undefined) return true;
  const value = String(claim);
  return value.startsWith('"') || value.startsWith('W/')
    ? strongMatch(value, validators['etag'] ?? null)
    : value === validators['last-modified'];
}
