import type { Redis } from 'ioredis';

/**
 * KEYS stream, state · ARGV epoch, most entries kept, lifetime in ms, then pairs (sequence, event as JSON).
 * Returns how many were taken. Ids are `{epoch}-{sequence}`: both the newest id and the epoch in `state` shut older
 * epochs out, so losing one of the two keys opens nothing. What the epoch has passed is left out, so a batch may be sent
 * again. A newer epoch's first event starts the stream over: everything before it is committed or taken back.
 */
const append = `
local epoch = tonumber(ARGV[1])
local known = redis.call('HGET', KEYS[2], 'epoch')
if known and tonumber(known) > epoch then return 0 end
local last = -1
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if newest then
  local of, sequence = string.match(newest[1], '^(%d+)-(%d+)$')
  if tonumber(of) > epoch then return 0 end
  if tonumber(of) < epoch then redis.call('DEL', KEYS[1]) else last = tonumber(sequence) end
end
redis.call('HSET', KEYS[2], 'epoch', ARGV[1])
local taken = 0
for i = 4, #ARGV, 2 do
  local sequence = tonumber(ARGV[i])
  if sequence > last then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], ARGV[1] .. '-' .. ARGV[i], 'event', ARGV[i + 1])
    last = sequence
    taken = taken + 1
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
