import type { Redis } from 'ioredis';

/**
 * KEYS stream, state · ARGV epoch, most entries kept, lifetime in ms, then pairs (position or 'end', event as JSON).
 * Returns how many were taken. A newer epoch's word in `state` shuts older ones out; ids that the stream has passed are
 * left out, so a resumed run may send its output again. `end` stands one after the last id.
 */
const append = `
local epoch = tonumber(ARGV[1])
local known = redis.call('HMGET', KEYS[2], 'epoch', 'ended')
if known[1] and tonumber(known[1]) > epoch then return 0 end
if known[2] and tonumber(known[2]) < epoch then
  redis.call('DEL', KEYS[1])
  redis.call('HDEL', KEYS[2], 'ended')
end
redis.call('HSET', KEYS[2], 'epoch', ARGV[1])
local last = 0
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if newest then last = tonumber(string.match(newest[1], '^%d+')) end
local ended = redis.call('HEXISTS', KEYS[2], 'ended') == 1
local taken = 0
for i = 4, #ARGV, 2 do
  local position = ARGV[i] == 'end' and last + 1 or tonumber(ARGV[i])
  if position > last and not ended then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], string.format('%.0f-0', position), 'event', ARGV[i + 1])
    last = position
    taken = taken + 1
    if ARGV[i] == 'end' then
      ended = true
      redis.call('HSET', KEYS[2], 'ended', ARGV[1])
    end
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return taken
`;

/** KEYS state · ARGV epoch, progress as JSON, lifetime in ms. Returns 1 where it was taken, 0 from an older epoch. */
const postProgress = `
local known = redis.call('HGET', KEYS[1], 'epoch')
if known and tonumber(known) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'progress', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
`;

/** The connection with our two scripts on it, sent by their digest after the first use. */
export interface LiveRedis extends Redis {
  longhaulAppend(stream: string, state: string, ...args: (string | number)[]): Promise<number>;
  longhaulProgress(state: string, epoch: number, progress: string, lifetimeMs: number): Promise<number>;
}

export function withLiveScripts(redis: Redis): LiveRedis {
  redis.defineCommand('longhaulAppend', { numberOfKeys: 2, lua: append });
  redis.defineCommand('longhaulProgress', { numberOfKeys: 1, lua: postProgress });
  return redis as LiveRedis;
}
