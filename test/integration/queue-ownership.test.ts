import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type ConsumerOptions, type JobConsumer, type JobQueue, openConsumer, openQueue } from '@longhaul/core/queue';
import { Redis } from 'ioredis';
import { waitFor } from '../support/cluster.ts';
import { startTestRedis, type TestRedis } from '../support/redis.ts';
import { ringWith } from '../support/ring.ts';

const retrier = fileURLToPath(new URL('../support/queue-retrier.ts', import.meta.url));
const shiftClock = new URL('../support/shift-clock.mjs', import.meta.url).href;
let redis: TestRedis;
let raw: Redis;
let model = 'owned-0';
let queue: JobQueue;
const consumers: JobConsumer[] = [];
const children: ChildProcess[] = [];

before(async () => {
  redis = await startTestRedis();
  raw = new Redis(redis.url);
});
beforeEach(() => {
  model = `owned-${Number(model.split('-')[1]) + 1}`;
  queue = openQueue({ url: redis.url, model, onNotice: () => {} });
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await Promise.all(consumers.splice(0).map((taker) => taker.close()));
  await queue.close();
});
after(async () => {
  raw.disconnect();
  await redis.close();
});

function consumer(options: Pick<ConsumerOptions, 'handler'> & Partial<ConsumerOptions>): JobConsumer {
  const taker = openConsumer({
    url: redis.url,
    model,
    concurrency: 1,
    lockMs: 2000,
    stalledMs: 300,
    name: 'here',
    onNotice: () => {},
    ...options,
  });
  consumers.push(taker);
  return taker;
}

const until = (what: string, holds: () => boolean) =>
  waitFor(
    async () => (holds() ? true : null),
    60_000,
    () => what,
  );

test('a draining worker and its jobs meet: each job is handed back once and taken once more, whatever its priority', async () => {
  const taken = new Map<string, string[]>();
  const note = (jobId: string, who: string) => taken.set(jobId, [...(taken.get(jobId) ?? []), who]);
  const { promise: draining, resolve: drain } = Promise.withResolvers<void>();
  const giver = consumer({
    concurrency: 2,
    handler: async ({ jobId }) => {
      note(jobId, 'giver');
      await draining;
      return { kind: 'hand-back' };
    },
  });
  // The third one waits, and wakes whoever looks at the moment of the drain.
  for (const [jobId, priority] of [
    ['handed-1', 1000],
    ['handed-2', 0],
    ['handed-3', 7],
  ] as const) {
    await queue.enqueue(jobId, ringWith(priority));
  }
  await giver.start();
  await until('two jobs in hand', () => taken.size === 2);
  drain();
  const taker = consumer({
    concurrency: 3,
    handler: async ({ jobId }) => {
      note(jobId, 'taker');
      return { kind: 'done', seconds: null };
    },
  });
  await Promise.all([giver.close(), taker.start()]);
  await until('all three', () => [...taken.values()].filter((who) => who.includes('taker')).length === 3);
  await taker.close();
  const takes = [...taken.values()].map((who) => who.join()).sort();
  assert.deepEqual(takes, ['giver,taker', 'giver,taker', 'taker']);
  assert.deepEqual(await queue.counts(), { waiting: 0, active: 0, delayed: 0, failed: 0 });
});

interface Retrier {
  readonly child: ChildProcess;
  readonly takes: number[];
  readonly said: string[];
}

/** A worker in a process of its own, whose clock is off, and which puts off every job for `delayMs`. */
async function startRetrier(clockMs: number, delayMs: number): Promise<Retrier> {
  const args = [
    '--disable-warning=ExperimentalWarning',
    '--import',
    shiftClock,
    retrier,
    redis.url,
    model,
    `${delayMs}`,
  ];
  const child = spawn(process.execPath, args, {
    env: { ...process.env, LONGHAUL_TEST_CLOCK_MS: String(clockMs) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const takes: number[] = [];
  const said: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    for (const line of text.trim().split('\n')) {
      if (/^[a-z]/.test(line)) said.push(line);
      else takes.push(Number(line));
    }
  });
  return { child, takes, said };
}

for (const hours of [-1, 1]) {
  const clockMs = hours * 3_600_000;
  test(`a worker whose clock is ${hours} h off takes a job again after its delay, neither at once nor in an hour`, async () => {
    await queue.enqueue('put-off-1', ringWith(0));
    const { takes } = await startRetrier(clockMs, 1500);
    await until('the second take', () => takes.length >= 2);
    assert.ok(takes[1]! - takes[0]! >= 1490, `again after ${takes[1]! - takes[0]!} ms`);
  });

  test(`a job put off by a worker whose clock is ${hours} h off, and which died, comes to another after its delay`, async () => {
    const { child, takes, said } = await startRetrier(clockMs, 1500);
    await until('it to be ready', () => said.includes('ready'));
    const enqueuedAt = performance.now();
    await queue.enqueue('put-off-2', ringWith(0));
    await until('the take', () => takes.length === 1);
    const takenAt = performance.now();
    // By Redis' clock, which is this machine's. A clock that runs ahead has the job in hand again at once, for the rest of
    // the delay, and another waits for its lock.
    const standing = async () => {
      const score = await raw.zscore(`{longhaul}:${model}:delayed`, 'put-off-2');
      return score !== null && Number(score) / 0x1000 < Date.now() + 60_000;
    };
    const putOff = async () => ((await standing()) || performance.now() - takenAt > 500 ? true : null);
    await waitFor(putOff, 60_000, () => 'the delay');
    child.kill('SIGKILL');
    const ran: number[] = [];
    const taker = consumer({
      handler: async () => {
        ran.push(performance.now());
        return { kind: 'done', seconds: null };
      },
    });
    await taker.start();
    await until('another to take it', () => ran.length === 1);
    // It was not taken before it was enqueued, however late this test heard of that.
    assert.ok(ran[0]! - enqueuedAt >= 1490, `taken after ${ran[0]! - enqueuedAt} ms`);
  });
}

test('a closed consumer leaves nothing behind that keeps its process alive', async () => {
  const { child, said } = await startRetrier(0, 0);
  await until('it to be ready', () => said.includes('ready'));
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await until('it to be closed', () => said.includes('closed'));
  const closedAt = performance.now();
  await exited;
  const ms = performance.now() - closedAt;
  assert.ok(ms < 1500, `the process lived on for ${ms.toFixed(0)} ms`);
});
