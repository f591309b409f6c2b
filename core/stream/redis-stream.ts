import { LonghaulError } from '../contracts/errors.ts';
import { LiveEvent, Progress } from '../contracts/events.ts';
import type { JobId } from '../contracts/job.ts';
import { connectRedis, hangUp, redactUrl, unavailable } from '../redis/connection.ts';
import { sequenceOf } from './entry-id.ts';
import { LiveGap, type LiveNews, type LiveStream } from './port.ts';
import { readLive } from './reader.ts';
import { type LiveRedis, withLiveScripts } from './scripts.ts';

/** A stream keeps about this much, in entries and bytes; a reader that falls behind further reads the ledger. */
const mostEntries = 4096;
const mostBytes = 750_000;
/** What Redis adds to an entry's text, about. */
const entryBytes = 32;
/** Events in one call of the script, so that none holds Redis for long. */
const appendBatch = 512;
const lifetimeMs = 24 * 60 * 60 * 1000;

export interface LiveStreamOptions {
  readonly url: string;
  readonly onNotice: (text: string) => void;
}

/** One hash tag per job: the script's keys lie in one slot of a cluster. */
function keysOf(jobId: JobId) {
  const prefix = `longhaul:{${jobId}}`;
  return { stream: `${prefix}:live`, state: `${prefix}:state`, cancel: `${prefix}:cancel` };
}

/**
 * A job's live side on Redis: a stream with ids `{epoch}-{output position}`, a hash with the newest epoch heard of and
 * its progress, and a key that asks for cancellation. Errors: `queue_unavailable`, `invalid_config`.
 */
export function openLiveStream(options: LiveStreamOptions): LiveStream {
  return new RedisStream(options);
}

class RedisStream implements LiveStream {
  private readonly options: LiveStreamOptions;
  private readonly redis: LiveRedis;
  private readonly closing = new AbortController();
  private readonly readers = new Set<Promise<void>>();

  constructor(options: LiveStreamOptions) {
    this.options = options;
    this.redis = withLiveScripts(connectRedis({ ...options, name: 'longhaul-live', whileAway: 'fail' }));
  }

  async append(jobId: JobId, epoch: number, events: readonly LiveEvent[]): Promise<number> {
    const { stream, state } = keysOf(jobId);
    let taken = 0;
    for (let from = 0; from < events.length; from += appendBatch) {
      const batch = events
        .slice(from, from + appendBatch)
        .flatMap((event) => [sequenceOf(event), JSON.stringify(event)]);
      const keep = entriesToKeep(batch);
      taken += await this.ask('appending to a live stream', () =>
        this.redis.longhaulAppend(stream, state, epoch, keep, lifetimeMs, ...batch),
      );
    }
    return taken;
  }

  async postProgress(jobId: JobId, progress: Progress): Promise<boolean> {
    const { state } = keysOf(jobId);
    const taken = await this.ask('posting progress', () =>
      this.redis.longhaulProgress(state, progress.epoch, JSON.stringify(progress), lifetimeMs),
    );
    return taken === 1;
  }

  async readProgress(jobId: JobId): Promise<Progress | null> {
    const { state } = keysOf(jobId);
    const text = await this.ask('reading progress', () => this.redis.hget(state, 'progress'));
    return text === null ? null : parseStored(Progress, text, state);
  }

  async *read(
    jobId: JobId,
    options: { readonly after: number; readonly epoch: number | null; readonly signal: AbortSignal },
  ): AsyncGenerator<LiveNews> {
    const { stream } = keysOf(jobId);
    const signal = AbortSignal.any([options.signal, this.closing.signal]);
    signal.throwIfAborted();
    // A blocking read holds up every command behind it, so each reader has a connection of its own.
    const redis = connectRedis({ ...this.options, name: 'longhaul-reader', whileAway: 'wait' });
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    this.readers.add(ended);
    const leave = () => hangUp(redis);
    signal.addEventListener('abort', leave, { once: true });
    try {
      const parse = (text: string) => parseStored(LiveEvent, text, stream);
      for await (const news of readLive(redis, stream, { ...options, signal }, parse)) {
        yield news;
        if (news.kind === 'end') return;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof LiveGap) throw error;
      throw unavailable(this.options.url, 'reading a live stream', error);
    } finally {
      signal.removeEventListener('abort', leave);
      hangUp(redis);
      this.readers.delete(ended);
      end();
    }
  }

  async signalCancel(jobId: JobId): Promise<void> {
    const { cancel } = keysOf(jobId);
    await this.ask('asking for cancellation', () => this.redis.set(cancel, '1', 'PX', lifetimeMs));
  }

  async cancelSignalled(jobId: JobId): Promise<boolean> {
    const { cancel } = keysOf(jobId);
    return (await this.ask('looking for a cancellation', () => this.redis.exists(cancel))) === 1;
  }

  async close(): Promise<void> {
    this.closing.abort(new LonghaulError('closed', `the live stream at ${redactUrl(this.options.url)} was closed`));
    hangUp(this.redis);
    await Promise.all(this.readers);
  }

  private async ask<T>(doing: string, command: () => Promise<T>): Promise<T> {
    if (this.closing.signal.aborted) throw this.closing.signal.reason;
    try {
      return await command();
    } catch (error) {
      throw unavailable(this.options.url, doing, error);
    }
  }
}

/** Entries of the mean size of these that a stream may hold. */
function entriesToKeep(pairs: readonly string[]): number {
  const entries = pairs.length / 2;
  const bytes = pairs.reduce((sum, text) => sum + text.length, entries * entryBytes);
  return Math.max(1, Math.min(mostEntries, Math.floor((mostBytes * entries) / bytes)));
}

/** What stands in Redis was written by some version of us, and is checked like any input. */
function parseStored<T>(schema: { parse(value: unknown): T }, text: string, key: string): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new LonghaulError('object_corrupt', `${key} in Redis holds what no version of longhaul writes`, { cause });
  }
}
