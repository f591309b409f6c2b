import { alone, type FaultKind, type Ground, isFragile, rest } from './fault.ts';

/** Milliseconds between two faults of Redis: each stops all workers, who would do nothing else for others to break. */
const restMs = 8000;

function onRedis(name: string, weight: number, act: (ground: Ground, bit: () => void) => Promise<void>): FaultKind {
  return {
    name: `Redis: ${name}`,
    group: 'redis',
    weight,
    start: (ground, bit) =>
      isFragile(ground, null)
        ? null
        : alone(ground, 'redis with its rest', async () => {
            await alone(ground, 'redis', () => act(ground, bit));
            await rest(ground, restMs);
          }),
  };
}

const killed = onRedis('killed, its data kept', 1, async (ground, bit) => {
  const { redis, random } = ground;
  await redis.kill9();
  bit();
  await rest(ground, random.between(0, 3000));
  await redis.restart();
});

const wiped = onRedis('killed, its data gone', 0.5, async (ground, bit) => {
  const { redis, random } = ground;
  await redis.kill9();
  bit();
  await rest(ground, random.between(0, 2000));
  await redis.restartEmpty();
});

const silent = onRedis('silent', 1, async (ground, bit) => {
  const { redis, random } = ground;
  redis.pause();
  await rest(ground, random.between(200, 4000));
  redis.resume();
  bit();
});

/** Bit where a command was refused for want of memory. */
const full = onRedis('out of memory under noeviction', 1, async (ground, bit) => {
  const { admin, random } = ground;
  const refused = async () => Number(/errorstat_OOM:count=(\d+)/.exec(await admin.info('errorstats'))?.[1] ?? 0);
  const before = await refused();
  try {
    await admin.config('SET', 'maxmemory', '1');
    await rest(ground, random.between(500, 5000));
  } finally {
    await admin.config('SET', 'maxmemory', '0');
  }
  if ((await refused()) > before) bit();
});

export const redisFaults: readonly FaultKind[] = [killed, wiped, silent, full];
