import type { Redis } from 'ioredis';
import { connectRedis, hangUp, unavailable } from '../redis/connection.ts';
import { type Fleet, forgetMs, WorkerSign } from './port.ts';

/** Signs by id, and when each was heard of by Redis' own clock. One hash tag: the scripts run in one slot. */
const keys = ['{longhaul}:fleet:signs', '{longhaul}:fleet:seen'] as const;

const nowMs = `local time = redis.call('TIME') local now = time[1] * 1000 + math.floor(time[2] / 1000)`;

/** KEYS signs, seen · ARGV forgetMs, id, sign */
const post = `${nowMs}
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.call('ZADD', KEYS[2], now, ARGV[2])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[1], 'LIMIT', 0, 100)) do
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[1], id)
end
return 1
`;

/** KEYS signs, seen · ARGV forgetMs. The signs heard of since. */
const list = `${nowMs}
local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. (now - ARGV[1]), '+inf', 'LIMIT', 0, 10000)
local out = {}
for _, id in ipairs(ids) do
  local sign = redis.call('HGET', KEYS[1], id)
  if sign then table.insert(out, sign) end
end
return out
`;

interface FleetRedis extends Redis {
  longhaulFleetPost(signs: string, seen: string, forget: number, id: string, sign: string): Promise<number>;
  longhaulFleetList(signs: string, seen: string, forget: number): Promise<string[]>;
}

export interface FleetOptions {
  readonly url: string;
  readonly onNotice: (text: string) => void;
}

export function openFleet(options: FleetOptions): Fleet {
  return new RedisFleet(options);
}

class RedisFleet implements Fleet {
  private readonly url: string;
  private readonly redis: FleetRedis;

  constructor({ url, onNotice }: FleetOptions) {
    this.url = url;
    const redis = connectRedis({ url, onNotice, name: 'longhaul-fleet', whileAway: 'fail' });
    redis.defineCommand('longhaulFleetPost', { numberOfKeys: 2, lua: post });
    redis.defineCommand('longhaulFleetList', { numberOfKeys: 2, lua: list });
    this.redis = redis as FleetRedis;
  }

  async post(sign: WorkerSign): Promise<void> {
    const text = JSON.stringify(WorkerSign.parse(sign));
    await this.ask('posting a sign of life', () => this.redis.longhaulFleetPost(...keys, forgetMs, sign.id, text));
  }

  async leave(id: string): Promise<void> {
    await this.ask('leaving the fleet', () => this.redis.multi().hdel(keys[0], id).zrem(keys[1], id).exec());
  }

  async workers(): Promise<readonly WorkerSign[]> {
    const texts = await this.ask('asking for the workers', () => this.redis.longhaulFleetList(...keys, forgetMs));
    const signs = texts.flatMap((text) => {
      const read = WorkerSign.safeParse(parseJson(text));
      return read.success ? [read.data] : [];
    });
    return signs.sort((a, b) => (a.name < b.name || (a.name === b.name && a.id < b.id) ? -1 : 1));
  }

  async close(): Promise<void> {
    hangUp(this.redis);
  }

  private async ask<T>(doing: string, command: () => Promise<T>): Promise<T> {
    try {
      return await command();
    } catch (error) {
      throw unavailable(this.url, doing, error);
    }
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
