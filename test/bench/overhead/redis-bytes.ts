import { randomBytes } from 'node:crypto';
import type { LiveEvent } from '@longhaul/core/contracts';
import { openQueue } from '@longhaul/core/queue';
import { connectRedis } from '@longhaul/core/redis';
import { openLiveStream } from '@longhaul/core/stream';
import { timeJobId } from '@longhaul/producer';
import { startTestRedis } from '../../support/redis.ts';
import { ringWith } from '../../support/ring.ts';

const queuedJobs = 1000;
/** Several times what a stream keeps. */
const streamedTokens = 20_000;

export interface RedisBytes {
  /** A queued job, of a thousand: growth of the server's memory, and the sum over all keys. */
  readonly queued: number;
  readonly queuedKeys: number;
  /** A running job's stream, state and progress: plain, and with the twenty most likely tokens beside each. */
  readonly running: number;
  readonly runningWithTop: number;
}

export async function measureRedisBytes(): Promise<RedisBytes> {
  const server = await startTestRedis();
  const redis = connectRedis({ url: server.url, name: 'bench', onNotice: () => {}, whileAway: 'wait' });
  const queue = openQueue({ url: server.url, model: 'bench', onNotice: () => {} });
  const live = openLiveStream({ url: server.url, onNotice: () => {} });
  const usedMemory = async () => Number(/used_memory:(\d+)/.exec(await redis.info('memory'))![1]);
  const sumOf = async (pattern: string) => {
    let sum = 0;
    for (const key of await redis.keys(pattern))
      sum += Number(await redis.call('MEMORY', 'USAGE', key, 'SAMPLES', '0'));
    return sum;
  };
  try {
    await queue.enqueue('first-of-all', ringWith(0));
    const before = await usedMemory();
    for (let i = 0; i < queuedJobs; i++) await queue.enqueue(timeJobId(Date.now(), randomBytes(16)), ringWith(i % 3));
    const queued = ((await usedMemory()) - before) / queuedJobs;
    const queuedKeys = (await sumOf('*')) / (queuedJobs + 1);

    const running: number[] = [];
    for (const top of [0, 20]) {
      const jobId = `running-with-${top}`;
      await live.append(jobId, 1, [{ kind: 'begin', position: 0 }, ...eventsOf(top)]);
      const count = {
        phase: 'generate',
        tokens: 1e9,
        bytes: 4e9,
        totalBytes: 4e9,
        outputTokens: streamedTokens,
      } as const;
      await live.postProgress(jobId, {
        epoch: 1,
        worker: 'a-worker-on-some-host-of-a-long-name-12345',
        ...count,
        tokensPerSecond: 12_345.678,
        cachedTokens: 0,
        cachedBytes: 0,
        committedTokens: 1e9,
        commits: 1000,
        updatedAt: new Date().toISOString(),
      });
      running.push(await sumOf(`longhaul:{${jobId}}*`));
    }
    return { queued, queuedKeys, running: running[0]!, runningWithTop: running[1]! };
  } finally {
    await live.close();
    await queue.close();
    redis.disconnect();
    await server.close();
  }
}

function eventsOf(top: number): LiveEvent[] {
  const likely = Array.from({ length: top }, (_, i): [number, number] => [50_000 + i, -1.234567 - i]);
  return Array.from({ length: streamedTokens }, (_, i) => ({
    kind: 'token',
    position: i + 1,
    token: 50_000 + (i % 9999),
    logprob: -1.2345678806304932,
    text: ' something',
    ...(top > 0 && { top: likely }),
  }));
}
