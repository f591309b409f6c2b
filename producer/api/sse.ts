import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiError, apiError } from './errors.ts';
import type { ApiLog } from './log.ts';

/** One event of a stream. `data` has no line break, being JSON or one word. */
export interface ServerSentEvent {
  readonly event: string | null;
  /** Where a reader goes on that comes back with it as `Last-Event-ID`. */
  readonly id: string | null;
  readonly data: string;
}

/** Milliseconds of silence after which a comment shows that the stream lives. */
const heartbeatMs = 15_000;
/** Milliseconds after which a browser that lost the stream comes back. */
const retryMs = 1000;

export interface EventStreamParts {
  readonly log: ApiLog;
  readonly closing: AbortSignal;
  /** How an error that comes in the midst of the stream is told. */
  readonly onError: (error: ApiError) => ServerSentEvent;
}

/**
 * Answers with a stream of events until it ends, the reader leaves, or the server closes. The first event is awaited, so
 * that an error before it has a status of its own.
 */
export async function sendEvents(
  request: FastifyRequest,
  reply: FastifyReply,
  events: (signal: AbortSignal) => AsyncIterable<ServerSentEvent>,
  parts: EventStreamParts,
): Promise<FastifyReply> {
  const left = new AbortController();
  reply.raw.once('close', () => left.abort(new Error('the reader left')));
  const signal = AbortSignal.any([left.signal, parts.closing]);
  const iterator = events(signal)[Symbol.asyncIterator]();
  const first = await iterator.next();
  const text = written(request, iterator, first, signal, parts);
  reply
    .header('content-type', 'text/event-stream; charset=utf-8')
    .header('cache-control', 'no-store')
    .header('x-accel-buffering', 'no');
  return reply.send(Readable.from(text, { objectMode: false, highWaterMark: 64 * 1024 }));
}

async function* written(
  request: FastifyRequest,
  iterator: AsyncIterator<ServerSentEvent>,
  first: IteratorResult<ServerSentEvent>,
  signal: AbortSignal,
  { log, onError }: EventStreamParts,
): AsyncGenerator<string> {
  yield `retry: ${retryMs}\n\n`;
  try {
    for (let next = first; next.done !== true; ) {
      yield format(next.value);
      const coming = iterator.next();
      // One that fails after the reader has left is heard by nobody.
      coming.catch(() => undefined);
      for (;;) {
        const heard = await orSilence(coming);
        if (heard !== 'silence') {
          next = heard;
          break;
        }
        yield ': still here\n\n';
      }
    }
  } catch (error) {
    if (signal.aborted) return;
    const told = apiError(error);
    if (told.status >= 500) log('error', 'a stream failed', { requestId: request.id, reason: String(error) });
    yield format(onError(told));
  } finally {
    void iterator.return?.()?.catch(() => undefined);
  }
}

async function orSilence<T>(coming: Promise<T>): Promise<T | 'silence'> {
  const { promise, resolve } = Promise.withResolvers<'silence'>();
  const timer = setTimeout(resolve, heartbeatMs, 'silence');
  try {
    return await Promise.race([coming, promise]);
  } finally {
    clearTimeout(timer);
  }
}

function format({ event, id, data }: ServerSentEvent): string {
  return `${event === null ? '' : `event: ${event}\n`}${id === null ? '' : `id: ${id}\n`}data: ${data}\n\n`;
}

/** @throws ApiError 400 for an id that no stream of ours has given */
export function lastEventId(request: FastifyRequest): string | null {
  const id = request.headers['last-event-id'];
  if (id === undefined || id === '') return null;
  if (typeof id === 'string' && /^[\w.-]{1,2048}$/.test(id)) return id;
  throw new ApiError(400, 'Last-Event-ID is no id of this stream', { param: 'Last-Event-ID', code: 'invalid_value' });
}
