import type { Redis } from 'ioredis';
import type { LiveEvent } from '../contracts/events.ts';
import { epochOf, idOf } from './entry-id.ts';
import type { LiveNews } from './port.ts';
import { ReadPosition } from './read-position.ts';

/** Milliseconds that one read waits for news before it looks whether it is still wanted. */
const blockMs = 2000;
const readBatch = 256;

type Entry = [id: string, fields: string[]];

/**
 * The news of a stream after a position, in order, without loss or repeat, whatever the connection does in between.
 * Never ends by itself; throws `LiveGap` where an entry that is due is not there any more.
 */
export async function* readLive(
  redis: Redis,
  stream: string,
  options: { readonly after: number; readonly epoch: number | null; readonly signal: AbortSignal },
  parse: (text: string) => LiveEvent,
): AsyncGenerator<LiveNews> {
  const { signal } = options;
  const epoch = options.epoch ?? (await unlessAborted(newestEpoch(redis, stream), signal));
  const reader = new ReadPosition(epoch, options.after);
  let last = idOf(epoch, options.after);
  for (;;) {
    signal.throwIfAborted();
    const command = redis.xread('COUNT', readBatch, 'BLOCK', blockMs, 'STREAMS', stream, last);
    const reply = await unlessAborted<unknown>(command, signal);
    for (const [id, fields] of entriesOf(reply)) {
      yield* reader.take(epochOf(id), parse(fields[1] ?? ''));
      last = id;
    }
  }
}

/**
 * The answer to a command, or the reason of the signal once it aborts: ioredis never fails a command that waits for the
 * next try to connect when the connection is ended before that try.
 */
async function unlessAborted<T>(command: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    if (signal.aborted) abort();
    return await Promise.race([command, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
    // Who fails later is heard by nobody, and must not end the process.
    command.catch(() => undefined);
    aborted.catch(() => undefined);
  }
}

/** 0 where the stream is empty: any owner's events come after that. */
async function newestEpoch(redis: Redis, stream: string): Promise<number> {
  const [newest] = (await redis.xrevrange(stream, '+', '-', 'COUNT', 1)) as Entry[];
  return newest === undefined ? 0 : epochOf(newest[0]);
}

function entriesOf(reply: unknown): Entry[] {
  return (reply as [string, Entry[]][] | null)?.[0]?.[1] ?? [];
}
