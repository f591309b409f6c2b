import { RejectedJob, RetryableFailure } from '../contracts/errors.ts';
import { AttemptTimedOut } from './s3-errors.ts';

/** What the SDK hands over as a response body in Node. */
export interface ResponseBody extends AsyncIterable<Uint8Array> {
  destroy(error?: Error): unknown;
}

/**
 * The bytes of a response. A body that stops for `stallMs` while we wait for it, breaks, or ends short throws; time that
 * the reader spends between two pieces does not count.
 */
export async function* receive(
  body: ResponseBody,
  options: { readonly bytes: number; readonly stallMs: number; readonly signal: AbortSignal | undefined },
): AsyncGenerator<Uint8Array> {
  const { signal, stallMs } = options;
  const abort = () => body.destroy(asError(signal?.reason));
  signal?.addEventListener('abort', abort, { once: true });
  const pieces = body[Symbol.asyncIterator]();
  let received = 0;
  let whole = false;
  try {
    for (;;) {
      signal?.throwIfAborted();
      const timer = setTimeout(() => body.destroy(new AttemptTimedOut(stallMs)), stallMs);
      let piece: IteratorResult<Uint8Array>;
      try {
        piece = await pieces.next();
      } catch (error) {
        signal?.throwIfAborted();
        throw error;
      } finally {
        clearTimeout(timer);
      }
      if (piece.done === true) break;
      received += piece.value.length;
      yield piece.value;
    }
    if (received !== options.bytes) throw new Error(`the body ended after ${received} of ${options.bytes} bytes`);
    whole = true;
  } finally {
    signal?.removeEventListener('abort', abort);
    if (!whole) body.destroy();
  }
}

/** `receive` for a reader outside the adapter: whatever breaks is `store_unavailable`. */
export async function* receiveNamed(
  doing: string,
  body: ResponseBody,
  options: Parameters<typeof receive>[1],
): AsyncGenerator<Uint8Array> {
  const source = receive(body, options);
  try {
    for (;;) {
      let piece: IteratorResult<Uint8Array>;
      try {
        piece = await source.next();
      } catch (error) {
        options.signal?.throwIfAborted();
        throw new RetryableFailure('store_unavailable', `the connection broke while ${doing}`, { cause: error });
      }
      if (piece.done === true) return;
      yield piece.value;
    }
  } finally {
    await source.return(undefined);
  }
}

/** The whole body, or `object_too_large` before a byte of it is read. */
export async function collect(
  key: string,
  body: ResponseBody,
  options: Parameters<typeof receive>[1] & { readonly maxBytes: number },
): Promise<Uint8Array> {
  if (options.bytes > options.maxBytes) {
    body.destroy();
    throw new RejectedJob(
      'object_too_large',
      `${key} holds ${options.bytes} bytes; at most ${options.maxBytes} are read`,
    );
  }
  const whole = new Uint8Array(options.bytes);
  let at = 0;
  for await (const piece of receive(body, options)) {
    if (at + piece.length > whole.length) throw new Error(`the body is longer than its ${whole.length} bytes`);
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
