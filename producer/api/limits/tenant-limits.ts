import { type Clock, hasEnded, type JobId } from '@longhaul/core/contracts';
import type { Ledger } from '@longhaul/core/ledger';
import { connectRedis } from '@longhaul/core/redis';
import type { Quota } from '../../estimate/verdict.ts';
import { ApiError } from '../errors.ts';
import type { ApiLog } from '../log.ts';
import type { ApiSettings } from '../settings.ts';
import { TokenBuckets } from './token-bucket.ts';

/** How much of the API a tenant may use, all of its processes together. */
export interface TenantLimits {
  /** Counts a request. @throws ApiError 429 */
  takeRequest(tenant: string): Promise<void>;
  /** Counts jobs that are about to be submitted; jobs that are counted already are not counted again. @throws ApiError 429 */
  openJobs(tenant: string, jobIds: readonly JobId[]): Promise<void>;
  /** Jobs that have not ended, as far as they are counted; null where Redis, which counts them, is away. */
  quota(tenant: string): Promise<Quota | null>;
  /** Jobs that are known to have ended, or were not submitted. */
  closeJobs(tenant: string, jobIds: readonly JobId[]): Promise<void>;
  close(): void;
}

export interface TenantLimitsParts {
  readonly redisUrl: string | null;
  readonly settings: Pick<ApiSettings, 'requestsPerSecond' | 'burst' | 'openJobs'>;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: ApiLog;
}

/** KEYS bucket · ARGV tokens a second, most tokens. Milliseconds until there is one; 0: it was taken. */
const takeScript = `
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local kept = redis.call('HMGET', KEYS[1], 'left', 'at')
local left = math.min(burst, (tonumber(kept[1]) or burst) + (ms - (tonumber(kept[2]) or ms)) / 1000 * rate)
local wait = 0
if left >= 1 then left = left - 1 else wait = math.ceil((1 - left) / rate * 1000) end
redis.call('HSET', KEYS[1], 'left', tostring(left), 'at', ms)
redis.call('PEXPIRE', KEYS[1], math.ceil(burst / rate * 1000) + 1000)
return wait
`;

/** KEYS open jobs · ARGV most of them, now in ms, job ids. 1 where all are counted, 0 where they would be too many. */
const openScript = `
local new = 0
for i = 3, #ARGV do if not redis.call('ZSCORE', KEYS[1], ARGV[i]) then new = new + 1 end end
if new > 0 and redis.call('ZCARD', KEYS[1]) + new > tonumber(ARGV[1]) then return 0 end
for i = 3, #ARGV do redis.call('ZADD', KEYS[1], 'NX', ARGV[2], ARGV[i]) end
return 1
`;

/** Jobs that one look for ended ones asks the ledger about; the oldest are likeliest to have ended. */
const lookedAt = 64;
const atOnce = 16;
const busySeconds = 5;
/** Milliseconds for which a process believes that Redis is away, before it asks again. */
const awayMs = 2000;

/**
 * Counted in Redis, so that several processes share the limits. Without Redis each process counts requests by itself, and
 * jobs are not counted at all: the limit protects the queue, which is away then, and a job that was accepted is kept anyhow.
 */
export function createTenantLimits({ redisUrl, settings, ledger, clock, log }: TenantLimitsParts): TenantLimits {
  const { requestsPerSecond, burst, openJobs: most } = settings;
  const own = new TokenBuckets({ perSecond: requestsPerSecond, burst }, clock);
  const onNotice = (text: string) => log('warn', text);
  const redis =
    redisUrl === null
      ? null
      : connectRedis({ url: redisUrl, name: 'longhaul-api-limits', whileAway: 'fail', onNotice });
  let awayUntil = Number.NEGATIVE_INFINITY;

  /** Null where Redis does not answer. */
  async function ask<T>(command: (connection: NonNullable<typeof redis>) => Promise<T>): Promise<T | null> {
    if (redis === null || clock.now() < awayUntil || redis.status !== 'ready') return null;
    try {
      return await command(redis);
    } catch {
      awayUntil = clock.now() + awayMs;
      return null;
    }
  }

  const keyOf = (what: string, tenant: string) => `longhaul:api:{${tenant}}:${what}`;

  const reserve = (tenant: string, jobIds: readonly JobId[]) =>
    ask((connection) =>
      connection.eval(openScript, 1, keyOf('open', tenant), String(most), String(Date.now()), ...jobIds),
    );

  /** Takes those that have ended off the count; one that was never made too. */
  async function prune(tenant: string): Promise<void> {
    const oldest = await ask((connection) => connection.zrange(keyOf('open', tenant), '0', String(lookedAt - 1)));
    const ids = oldest ?? [];
    const ended: string[] = [];
    for (let i = 0; i < ids.length; i += atOnce) {
      const some = ids.slice(i, i + atOnce);
      const heads = await Promise.all(some.map((jobId) => ledger.readHead(jobId)));
      for (const [j, head] of heads.entries()) if (head === null || hasEnded(head.status)) ended.push(some[j]!);
    }
    // Those that run on are looked at last the next time.
    const open = ids.filter((id) => !ended.includes(id)).flatMap((id) => [String(Date.now()), id]);
    const key = keyOf('open', tenant);
    if (open.length > 0) await ask((connection) => connection.zadd(key, 'XX', ...open));
    if (ended.length > 0) await ask((connection) => connection.zrem(key, ...ended));
  }

  return {
    async takeRequest(tenant) {
      const key = keyOf('rate', tenant);
      const waitMs = await ask((connection) =>
        connection.eval(takeScript, 1, key, String(requestsPerSecond), String(burst)),
      );
      const seconds = waitMs === null ? own.take(tenant) : Number(waitMs) / 1000;
      if (seconds === 0) return;
      throw new ApiError(429, `more than ${requestsPerSecond} requests a second (${burst} at once)`, {
        code: 'rate_limit_exceeded',
        retryAfterSeconds: seconds,
      });
    },

    async openJobs(tenant, jobIds) {
      if (jobIds.length === 0 || (await reserve(tenant, jobIds)) !== 0) return;
      await prune(tenant);
      if ((await reserve(tenant, jobIds)) !== 0) return;
      throw new ApiError(429, `the tenant has ${most} jobs that have not ended, which is the limit`, {
        code: 'too_many_open_jobs',
        retryAfterSeconds: busySeconds,
      });
    },

    async quota(tenant) {
      const count = () => ask((connection) => connection.zcard(keyOf('open', tenant)));
      if (((await count()) ?? 0) >= most) await prune(tenant);
      const openJobs = await count();
      return openJobs === null ? null : { openJobs, most };
    },

    async closeJobs(tenant, jobIds) {
      if (jobIds.length > 0) await ask((connection) => connection.zrem(keyOf('open', tenant), ...jobIds));
    },

    close() {
      if (redis !== null && redis.status !== 'end') redis.disconnect();
    },
  };
}
