import { connectRedis } from '@longhaul/core/redis';
import { within } from '../within.ts';

export interface RedisFacts {
  readonly version: string;
  /** '' where the server does not tell. */
  readonly evictionPolicy: string;
}

/** @throws where Redis does not answer within the time */
export async function readRedisFacts(url: string, timeoutMs: number): Promise<RedisFacts> {
  let reason = '';
  const onNotice = (text: string) => {
    reason = text;
  };
  const redis = connectRedis({ url, name: 'longhaul-doctor', whileAway: 'fail', onNotice });
  try {
    const info = await within(timeoutMs, redis.info(), 'asking Redis for its facts');
    const field = (name: string) => new RegExp(`^${name}:(.*)$`, 'm').exec(info)?.[1]?.trim() ?? '';
    return { version: field('redis_version'), evictionPolicy: field('maxmemory_policy') };
  } catch (error) {
    throw reason === '' ? error : new Error(reason, { cause: error });
  } finally {
    redis.disconnect();
  }
}
