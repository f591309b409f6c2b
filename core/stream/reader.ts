import type { Redis } from 'ioredis';
import { LiveGap } from './port.ts';

/** Milliseconds that one read waits for news before it looks at the stream as a whole. */
const blockMs = 2000;
const readBatch = 256;

type Entry = [id: string, fields: string[]];

/**
 * The events of a stream after a position, as JSON text, in order, without loss or repeat: the position asked for is the
 * last one given out, whatever the connection does in between. Never ends by itself; throws `LiveGap` where an entry
 * that is due is not there any more.
 */
export async function* readLive(
  redis: Redis,
  stream: string,
  after: number,
  signal: AbortSignal,
): AsyncGenerator<string> {
  let last = after;
  for (;;) {
    signal.throwIfAborted();
    const reply = await redis.xread('COUNT', readBatch, 'BLOCK', blockMs, 'STREAMS', stream, `${last}-0`);
    const entries = entriesOf(reply);
    for (const entry of entries) {
      const position = positionOf(entry);
      if (position !== last + 1) throw new LiveGap(position);
      yield eventOf(entry);
      last = position;
    }
    if (entries.length === 0) {
      const end = await endBefore(redis, stream, last);
      if (end !== null) yield end;
    }
  }
}

/**
 * Redis may have lost the stream and got only its end since: that end stands at a position which a reader of the
 * committed output has passed already.
 */
async function endBefore(redis: Redis, stream: string, last: number): Promise<string | null> {
  const [newest] = (await redis.xrevrange(stream, '+', '-', 'COUNT', 1)) as Entry[];
  if (newest === undefined || positionOf(newest) > last) return null;
  const event = eventOf(newest);
  return (JSON.parse(event) as { kind?: unknown }).kind === 'end' ? event : null;
}

function entriesOf(reply: unknown): Entry[] {
  return (reply as [string, Entry[]][] | null)?.[0]?.[1] ?? [];
}

function positionOf(entry: Entry): number {
  return Number(entry[0].split('-')[0]);
}

function eventOf(entry: Entry): string {
  return entry[1][1] ?? '';
}
