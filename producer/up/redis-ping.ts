import { describeError } from '@longhaul/core/contracts';
import { Redis } from 'ioredis';

/** Null where Redis answers, else why not. Leaves no connection behind. */
export async function pingRedis(url: string, timeoutMs: number): Promise<string | null> {
  return withRedis(url, timeoutMs, async (redis) => {
    await redis.ping();
    return null;
  }).catch(describeError);
}

export interface RedisFacts {
  readonly version: string;
  /** '' where the server does not tell. */
  readonly evictionPolicy: string;
}

/** @throws where Redis does not answer */
export async function readRedisFacts(url: string, timeoutMs: number): Promise<RedisFacts> {
  return withRedis(url, timeoutMs, async (redis) => {
    const info = await redis.info();
    const field = (name: string) => new RegExp(`^${name}:(.*)$`, 'm').exec(info)?.[1]?.trim() ?? '';
    return { version: field('redis_version'), evictionPolicy: field('maxmemory_policy') };
  });
}

async function withRedis<T>(url: string, timeoutMs: number, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    enableOfflineQueue: false,
  });
  let cause: unknown = null;
  redis.on('error', (error) => {
    cause = error;
  });
  try {
    await redis.connect();
    return await work(redis);
  } catch (error) {
    throw cause ?? error;
  } finally {
    redis.disconnect();
  }
}
