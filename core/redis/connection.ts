import { Redis } from 'ioredis';
import { z } from 'zod';
import { describeError, LonghaulError, RetryableFailure } from '../contracts/errors.ts';

/** `redis://` or, with TLS, `rediss://`; user, password and database number as usual in the URL. */
export const RedisUrl = z.url({ protocol: /^rediss?$/, error: 'expected redis://host:port or rediss://host:port' });
export type RedisUrl = z.infer<typeof RedisUrl>;

/** Milliseconds in which a command without blocking must be answered. */
export const commandTimeoutMs = 5000;

/** Milliseconds between two notices of one connection about the same outage. */
const noticeEveryMs = 10_000;

export interface RedisConnectionOptions {
  readonly url: string;
  /** Says what the connection is for, in notices and in Redis' client list. */
  readonly name: string;
  readonly onNotice: (text: string) => void;
  /**
   * `wait`: commands wait for Redis to come back, however long (blocking reads, BullMQ).
   * `fail`: a command fails where Redis is out of reach or silent for `commandTimeoutMs`.
   */
  readonly whileAway: 'wait' | 'fail';
}

/**
 * A connection that reconnects for ever and never emits an unhandled 'error'. An outage is told through `onNotice` at
 * its start, every ten seconds of it, and at its end.
 */
export function connectRedis(options: RedisConnectionOptions): Redis {
  const url = parseRedisUrl(options.url);
  const shared = {
    connectionName: options.name,
    connectTimeout: commandTimeoutMs,
    // A peer that vanished without a word (a partition) would hold a command for a quarter of an hour; blocking reads
    // of ours answer every few seconds.
    socketTimeout: 20_000,
    keepAlive: 10_000,
    // How long a connection that we end waits for the other end to say so.
    disconnectTimeout: 250,
    retryStrategy: (times: number) => Math.min(50 * 2 ** Math.min(times, 10), 2000),
  };
  const redis =
    options.whileAway === 'wait'
      ? new Redis(url, { ...shared, maxRetriesPerRequest: null })
      : new Redis(url, { ...shared, maxRetriesPerRequest: 1, commandTimeout: commandTimeoutMs });
  announceOutages(redis, options);
  return redis;
}

/**
 * Ends a connection for good. ioredis would arm a timer for one that has ended already, which nothing disarms and which
 * keeps the process alive until it fires.
 */
export function hangUp(redis: Redis): void {
  if (redis.status !== 'end') redis.disconnect();
}

export function parseRedisUrl(url: string): RedisUrl {
  const parsed = RedisUrl.safeParse(url);
  if (parsed.success) return parsed.data;
  throw new LonghaulError('invalid_config', `not the URL of a Redis: ${redactUrl(url)} (redis://host:port is)`);
}

/** The URL without its password, for messages. */
export function redactUrl(url: string): string {
  return url.replace(/\/\/[^@/]*@/, '//***@');
}

/** Any failure of a command as `queue_unavailable`; errors of ours pass unchanged. */
export function unavailable(url: string, doing: string, cause: unknown): LonghaulError {
  if (cause instanceof LonghaulError) return cause;
  return new RetryableFailure('queue_unavailable', `Redis at ${redactUrl(url)} failed ${doing}`, { cause });
}

/** Listens to a connection's errors: one that nobody listens to ends the process. */
export function announceOutages(
  redis: Redis,
  { url, name, onNotice }: Pick<RedisConnectionOptions, 'url' | 'name' | 'onNotice'>,
): void {
  const where = `Redis at ${redactUrl(url)} (${name})`;
  let away = false;
  let saidAt = Number.NEGATIVE_INFINITY;
  let reason = 'the connection was closed';
  const say = () => {
    if (performance.now() - saidAt < noticeEveryMs) return;
    saidAt = performance.now();
    away = true;
    onNotice(`${where} is out of reach: ${reason}; trying again`);
  };
  redis.on('error', (error: unknown) => {
    reason = reasonOf(error);
    // A password that Redis refuses ends no connection, so no 'reconnecting' follows.
    if (redis.status !== 'connecting' && redis.status !== 'end') say();
  });
  redis.on('reconnecting', say);
  redis.on('ready', () => {
    if (away) onNotice(`${where} is back`);
    away = false;
    saidAt = Number.NEGATIVE_INFINITY;
    reason = 'the connection was closed';
  });
}

/** Node wraps refused addresses in an AggregateError whose own message is empty. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map((e) => describeError(e)).join('; ');
  return describeError(error);
}
