import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { breakOff } from '../break-off.ts';
import { S3Error } from './errors.ts';
import type { Exchange, Reply, WriteObserver } from './exchange.ts';
import { xmlReply } from './exchange.ts';
import type { FaultAction, FaultQueue } from './faults.ts';
import type { ObjectStorage } from './objects.ts';
import { receiveFile, receiveText } from './receive.ts';
import { type Operation, operations, route } from './routes.ts';
import { authenticate, type Credentials, type SignedRequest } from './sigv4.ts';
import { xmlDocument } from './xml.ts';

export interface LoggedRequest {
  readonly method: string;
  readonly operation: Operation | null;
  readonly bucket: string;
  readonly key: string;
  /** Of the answer; 0 where none was given. */
  readonly status: number;
}

export interface ServerParts {
  readonly storage: ObjectStorage;
  readonly credentials: Credentials;
  readonly faults: FaultQueue;
  log(request: LoggedRequest): void;
  readonly onWrite: WriteObserver | null;
  readonly clock: ServerClock | null;
}

/** A server whose clock is not this machine's, in ms; `told` is what the Date of its answers says. */
export interface ServerClock {
  now(): number;
  told(): number;
}

type Action = Exclude<FaultAction, object>;

const injected: Partial<Record<Action, () => S3Error>> = {
  'slow-down-503': () => new S3Error(503, 'SlowDown', 'Please reduce your request rate.'),
  'internal-500': () => new S3Error(500, 'InternalError', 'We encountered an internal error. Please try again.'),
  'conflict-409': () =>
    new S3Error(409, 'ConditionalRequestConflict', 'A conflicting conditional operation is in progress.'),
  'denied-403': () => new S3Error(403, 'AccessDenied', 'Access Denied'),
  full: () => new S3Error(507, 'XMinioStorageFull', 'Storage backend has reached its minimum free drive threshold.'),
};

const conditionalHeaders = ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since'];

/** One request from its line to its last byte; never throws. */
export async function serve(request: IncomingMessage, response: ServerResponse, parts: ServerParts): Promise<void> {
  const method = request.method ?? '';
  const parsed = parseUrl(request.url ?? '/');
  const { bucket, key } = parsed;
  const query = new Map(parsed.query);
  // The SDK names its operation in the query; it takes no part in the routing.
  query.delete('x-id');
  const copies = request.headers['x-amz-copy-source'] !== undefined;
  const operation = route({ method, bucket, key, query, copies });
  const { delayMs, action } = parts.faults.take({ method, operation, key });
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  let status = 0;
  if (parts.clock !== null) response.setHeader('date', new Date(parts.clock.told()).toUTCString());
  try {
    if (delayMs > 0) await sleep(delayMs, undefined, { signal: gone.signal });
    if (action === 'reset') return void breakOff(request.socket);
    if (action === 'stall') await Promise.race([parts.faults.stalled(), once(gone.signal, 'abort')]);
    if (response.destroyed) return;
    const reply = await answer(request, { ...parsed, method, query, operation, action }, parts);
    if (action === 'reset-after' || action === 'hang-after' || response.destroyed) {
      if (reply.body !== null && !Buffer.isBuffer(reply.body)) reply.body.close();
      if (action === 'hang-after' && !response.destroyed) await once(response, 'close');
      breakOff(request.socket);
      return;
    }
    status = reply.status;
    await send(response, reply, action);
  } catch {
    // The client went away, or a fault ended the connection: there is nobody left to answer.
    request.socket.destroy();
  } finally {
    parts.log({ method, operation, bucket, key, status });
  }
}

interface Call {
  readonly method: string;
  readonly path: string;
  readonly bucket: string;
  readonly key: string;
  readonly rawQuery: SignedRequest['query'];
  readonly query: ReadonlyMap<string, string>;
  readonly operation: Operation | null;
  readonly action: Action | null;
  readonly badUrl: boolean;
}

async function answer(request: IncomingMessage, call: Call, parts: ServerParts): Promise<Reply> {
  const requestId = randomUUID();
  try {
    const fault = call.action === null ? undefined : injected[call.action];
    if (fault !== undefined) throw fault();
    if (call.badUrl) throw new S3Error(400, 'InvalidURI', `Couldn't parse the specified URI: ${request.url}`);
    const signed = { method: call.method, path: call.path, query: call.rawQuery, headers: request.headers };
    const authenticated = authenticate(signed, parts.credentials, parts.clock?.now() ?? Date.now());
    if (call.operation === null) {
      throw new S3Error(501, 'NotImplemented', `${call.method} ${request.url} is not implemented`);
    }
    const headers = { ...request.headers };
    if (call.action === 'no-conditions') for (const name of conditionalHeaders) delete headers[name];
    const exchange: Exchange = {
      storage: parts.storage,
      bucket: call.bucket,
      key: call.key,
      query: call.query,
      headers,
      onWrite: parts.onWrite,
      receiveFile: (wanted) => receiveFile(request, authenticated, parts.storage, wanted),
      receiveText: () => receiveText(request, authenticated),
    };
    const reply = await operations[call.operation](exchange);
    return { ...reply, headers: { 'x-amz-request-id': requestId, ...reply.headers } };
  } catch (error) {
    if (request.destroyed && !request.complete) throw error;
    // An answer given before the body is read would be lost in the reset that follows an early close.
    await drain(request);
    const known =
      error instanceof S3Error ? error : new S3Error(500, 'InternalError', `${(error as Error).stack ?? error}`);
    const body = xmlDocument('Error', {
      Code: known.code,
      Message: known.message,
      Resource: call.path,
      RequestId: requestId,
    });
    return xmlReply(known.status, body, { 'x-amz-request-id': requestId });
  }
}

async function drain(request: IncomingMessage): Promise<void> {
  if (request.complete || request.readableEnded) return;
  await new Promise<void>((resolve) => {
    request.once('end', resolve).once('close', resolve).once('error', resolve);
    request.resume();
  });
}

async function send(response: ServerResponse, reply: Reply, action: Action | null): Promise<void> {
  const { body } = reply;
  const head = response.req.method === 'HEAD';
  const length = body === null || Buffer.isBuffer(body) ? { 'content-length': String(body?.length ?? 0) } : {};
  // A 304 or 204 has no length of its own, and a HEAD has that of the body it leaves out.
  const bodiless = reply.status === 304 || reply.status === 204;
  response.writeHead(reply.status, { server: 'AmazonS3', ...(bodiless ? {} : length), ...reply.headers });
  if (body === null || head) return void response.end();
  if (Buffer.isBuffer(body)) return void response.end(body);
  if (action === 'truncate-body') return truncate(response, body.chunks(), Math.floor(body.bytes / 2));
  const chunks = action === 'flip-bit' ? flipBit(body.chunks(), Math.floor(body.bytes / 2)) : body.chunks();
  await pipeline(Readable.from(chunks, { objectMode: false }), response);
}

async function truncate(response: ServerResponse, chunks: AsyncIterable<Buffer>, bytes: number): Promise<void> {
  response.flushHeaders();
  let left = bytes;
  for await (const chunk of chunks) {
    const part = chunk.subarray(0, left);
    left -= part.length;
    await new Promise<void>((resolve, reject) => response.write(part, (error) => (error ? reject(error) : resolve())));
    if (left === 0) break;
  }
  response.destroy();
}

async function* flipBit(chunks: AsyncIterable<Buffer>, at: number): AsyncGenerator<Buffer> {
  let start = 0;
  for await (const chunk of chunks) {
    if (at >= start && at < start + chunk.length) chunk[at - start]! ^= 1;
    start += chunk.length;
    yield chunk;
  }
}

function parseUrl(url: string) {
  const mark = url.indexOf('?');
  const rawPath = mark < 0 ? url : url.slice(0, mark);
  try {
    const path = decodeURIComponent(rawPath);
    const query = (mark < 0 ? '' : url.slice(mark + 1))
      .split('&')
      .filter((pair) => pair !== '')
      .map((pair): readonly [string, string] => {
        const equals = pair.indexOf('=');
        const [name, value] = equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)];
        return [decodeURIComponent(name), decodeURIComponent(value)];
      });
    const [, bucket = '', key = ''] = /^\/([^/]*)(?:\/([\s\S]*))?$/.exec(path) ?? [];
    return { path, bucket, key, query, rawQuery: query, badUrl: false };
  } catch {
    return { path: rawPath, bucket: '', key: '', query: [], rawQuery: [], badUrl: true };
  }
}
