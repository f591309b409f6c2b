import type { Redis } from 'ioredis';

/** Ranks of a line: a higher priority goes first, then who came first. Both fit into a double. */
const rankScale = 2 ** 42;

/** KEYS jobs, tenants, clocks, came, floor, line · ARGV job, tenant, ring as JSON, priority. Returns 1 where it was taken in. */
const join = `
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
local rank = (1000 - tonumber(ARGV[4])) * ${rankScale} + redis.call('INCR', KEYS[4])
redis.call('ZADD', KEYS[6], string.format('%.0f', rank), ARGV[1])
if not redis.call('ZSCORE', KEYS[2], ARGV[2]) then
  local clock = tonumber(redis.call('HGET', KEYS[3], ARGV[2]) or '0')
  local floor = tonumber(redis.call('GET', KEYS[5]) or '0')
  redis.call('ZADD', KEYS[2], string.format('%.6f', math.max(clock, floor)), ARGV[2])
end
return 1
`;

/**
 * KEYS jobs, tenants, clocks, floor, leaving, wait, prioritized · ARGV most that stand ready, ms that leaving may take,
 * prefix of the lines. Returns pairs (job, ring) that are to be put where workers look.
 */
const leave = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local out = {}
for _, job in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', now - tonumber(ARGV[2]), 'LIMIT', 0, 16)) do
  local ring = redis.call('HGET', KEYS[1], job)
  if ring then
    redis.call('ZADD', KEYS[5], now, job)
    table.insert(out, job)
    table.insert(out, ring)
  else
    redis.call('ZREM', KEYS[5], job)
  end
end
local ready = redis.call('LLEN', KEYS[6]) + redis.call('ZCARD', KEYS[7]) + redis.call('ZCARD', KEYS[5])
while ready < tonumber(ARGV[1]) do
  local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
  local tenant, clock = first[1], tonumber(first[2])
  if not tenant then break end
  local line = ARGV[3] .. tenant
  local job = redis.call('ZRANGE', line, 0, 0)[1]
  local ring = job and redis.call('HGET', KEYS[1], job)
  if job then redis.call('ZREM', line, job) end
  if ring then
    redis.call('ZADD', KEYS[5], now, job)
    redis.call('SET', KEYS[4], string.format('%.6f', clock))
    local read, told = pcall(cjson.decode, ring)
    if read and type(told) == 'table' then clock = clock + (tonumber(told.seconds) or 0) end
    redis.call('HSET', KEYS[3], tenant, string.format('%.6f', clock))
    table.insert(out, job)
    table.insert(out, ring)
    ready = ready + 1
  end
  if redis.call('ZCARD', line) == 0 then
    redis.call('ZREM', KEYS[2], tenant)
  else
    redis.call('ZADD', KEYS[2], string.format('%.6f', clock), tenant)
  end
end
return out
`;

/** KEYS jobs, leaving · ARGV job. It stands where workers look. */
const left = `
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
`;

/** KEYS jobs, tenants, leaving, line · ARGV job, tenant. Returns 1 where it stood in the line. */
const quit = `
if redis.call('ZSCORE', KEYS[3], ARGV[1]) or redis.call('ZREM', KEYS[4], ARGV[1]) == 0 then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
if redis.call('ZCARD', KEYS[4]) == 0 then redis.call('ZREM', KEYS[2], ARGV[2]) end
return 1
`;

/** KEYS tenants, clocks · ARGV tenant, seconds more (or less) than it was charged. */
const charge = `
local clock = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0') + tonumber(ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], string.format('%.6f', clock))
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then redis.call('ZADD', KEYS[1], string.format('%.6f', clock), ARGV[1]) end
return 1
`;

/**
 * KEYS jobs, leaving, then BullMQ's wait, prioritized, active, delayed, failed. Returns how many stand in the line and in
 * each of the five, at one moment and each job once: one on its way to BullMQ is in the line until BullMQ has it.
 */
const census = `
local inLine = redis.call('HLEN', KEYS[1])
for _, job in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local arrived = redis.call('ZSCORE', KEYS[4], job) or redis.call('ZSCORE', KEYS[6], job) or redis.call('ZSCORE', KEYS[7], job)
  if arrived or redis.call('LPOS', KEYS[3], job) or redis.call('LPOS', KEYS[5], job) then inLine = inLine - 1 end
end
return {
  math.max(0, inLine), redis.call('LLEN', KEYS[3]), redis.call('ZCARD', KEYS[4]), redis.call('LLEN', KEYS[5]),
  redis.call('ZCARD', KEYS[6]), redis.call('ZCARD', KEYS[7])
}
`;

const scripts = {
  longhaulFairJoin: { numberOfKeys: 6, lua: join },
  longhaulFairLeave: { numberOfKeys: 7, lua: leave },
  longhaulFairLeft: { numberOfKeys: 2, lua: left },
  longhaulFairQuit: { numberOfKeys: 4, lua: quit },
  longhaulFairCharge: { numberOfKeys: 2, lua: charge },
  longhaulFairCensus: { numberOfKeys: 7, lua: census },
} as const;

export interface FairRedis extends Redis {
  longhaulFairJoin(...keysAndArgs: (string | number)[]): Promise<number>;
  longhaulFairLeave(...keysAndArgs: (string | number)[]): Promise<string[]>;
  longhaulFairLeft(...keysAndArgs: (string | number)[]): Promise<number>;
  longhaulFairQuit(...keysAndArgs: (string | number)[]): Promise<number>;
  longhaulFairCharge(...keysAndArgs: (string | number)[]): Promise<number>;
  longhaulFairCensus(...keys: string[]): Promise<[number, number, number, number, number, number]>;
}

export function withFairScripts(redis: Redis): FairRedis {
  for (const [name, script] of Object.entries(scripts)) redis.defineCommand(name, script);
  return redis as FairRedis;
}
