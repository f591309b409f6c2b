import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type ConsumerOptions, type JobConsumer, type JobQueue, openConsumer, openQueue } from '@longhaul/core/queue';
import { quickest } from '../support/quickest.ts';
import { startTestRedis, type TestRedis } from '../support/redis.ts';
import { ringWith } from '../support/ring.ts';

const script = fileURLToPath(new URL('../support/queue-consumer.ts', import.meta.url));
let redis: TestRedis;
let model = 'test-0';
let queue: JobQueue;
const notices: string[] = [];
const consumers: JobConsumer[] = [];
const children: ChildProcess[] = [];

before(async () => {
  redis = await startTestRedis();
});

// A queue per test: nothing that one leaves behind is seen by the next.
beforeEach(() => {
  model = `test-${Number(model.split('-')[1]) + 1}`;
  queue = openQueue({ url: redis.url, model, onNotice: () => {} });
  notices.length = 0;
});

afterEach(async () => {
  await Promise.all(children.splice(0).map(end));
  await Promise.all(consumers.splice(0).map((taker) => taker.close()));
  await queue.close();
});

after(async () => {
  await redis.close();
});

function consumer(options: Pick<ConsumerOptions, 'handler'> & Partial<ConsumerOptions>): JobConsumer {
  const taker = openConsumer({
    url: redis.url,
    model,
    concurrency: 1,
    lockMs: 2000,
    stalledMs: 500,
    name: 'here',
    onNotice: (text) => notices.push(text),
    ...options,
  });
  consumers.push(taker);
  return taker;
}

async function until(what: string, ask: () => boolean | Promise<boolean>, timeoutMs = 30_000): Promise<number> {
  const began = performance.now();
  while (!(await ask())) {
    if (performance.now() - began > timeoutMs) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await delay(10);
  }
  return performance.now() - began;
}

interface Told {
  readonly event: string;
  readonly jobId?: string;
  readonly aborted?: boolean;
  readonly code?: string;
}

async function startConsumer(name: string, ...args: number[]): Promise<{ child: ChildProcess; told: Told[] }> {
  const child = spawn(process.execPath, [script, redis.url, model, name, ...args.map(String)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const told: Told[] = [];
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    told.push(...lines.map((line) => JSON.parse(line) as Told));
  });
  await until(`${name} to be ready`, () => told.some((t) => t.event === 'ready'));
  return { child, told };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

test('behind the one that stands ready a higher priority runs earlier, equal priority in order, and counts see them all', async () => {
  for (const [jobId, priority] of [
    ['job-ready', 0],
    ['job-low-1', 0],
    ['job-mid-1', 10],
    ['job-top-1', 1000],
    ['job-mid-2', 10],
    ['job-low-2', 0],
  ] as const) {
    await queue.enqueue(jobId, ringWith(priority));
  }
  assert.deepEqual(await queue.counts(), { waiting: 6, active: 0, delayed: 0, failed: 0 });
  const ran: string[] = [];
  const taker = consumer({
    handler: async ({ jobId }) => {
      ran.push(jobId);
      return { kind: 'done', seconds: null };
    },
  });
  await taker.start();
  await until('all jobs', () => ran.length === 6);
  await taker.close();
  assert.deepEqual(ran, ['job-ready', 'job-top-1', 'job-mid-1', 'job-mid-2', 'job-low-1', 'job-low-2']);
  assert.deepEqual(await queue.counts(), { waiting: 0, active: 0, delayed: 0, failed: 0 });
});

test('enqueueing again changes nothing while a job waits or runs, and runs it again once its message is finished', async () => {
  let runs = 0;
  let release = () => {};
  const taker = consumer({
    handler: async () => {
      runs += 1;
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      return runs === 1 ? { kind: 'done', seconds: null } : { kind: 'quarantine', reason: 'as the test wants it' };
    },
  });
  await queue.enqueue('job-again', ringWith(0));
  await queue.enqueue('job-again', ringWith(5));
  assert.equal((await queue.counts()).waiting, 1);
  await taker.start();
  await until('the first run', () => runs === 1);
  await queue.enqueue('job-again', ringWith(0));
  assert.deepEqual(await queue.counts(), { waiting: 0, active: 1, delayed: 0, failed: 0 });
  release();
  await until('the end of it', async () => (await queue.counts()).active === 0);
  await queue.enqueue('job-again', ringWith(0));
  await until('the second run', () => runs === 2);
  release();
  await until('the quarantine', async () => (await queue.counts()).failed === 1);
  await queue.enqueue('job-again', ringWith(0));
  await until('the third run', () => runs === 3);
  release();
  await taker.close();
});

test('a waiting job can be taken out, a running or unknown one cannot', async () => {
  let running = false;
  let release = () => {};
  const taker = consumer({
    handler: async () => {
      running = true;
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      return { kind: 'done', seconds: null };
    },
  });
  await queue.enqueue('job-remove-1', ringWith(1));
  await taker.start();
  await until('the first job', () => running);
  await queue.enqueue('job-remove-2', ringWith(1));
  assert.equal(await queue.remove('job-remove-1'), false);
  assert.equal(await queue.remove('job-remove-2'), true);
  assert.equal(await queue.remove('job-remove-2'), false);
  release();
  await taker.close();
  assert.equal((await queue.counts()).waiting, 0);
});

test('a job handed back is not taken again by its giver, and another takes it within a second', async () => {
  let given = 0;
  const giver = consumer({
    concurrency: 2,
    handler: async () => {
      given += 1;
      await delay(100);
      return { kind: 'hand-back' };
    },
  });
  await giver.start();
  await queue.enqueue('job-handed', ringWith(0));
  await until('the giver', () => given === 1);
  const taken: number[] = [];
  const taker = consumer({
    name: 'other',
    handler: async () => {
      taken.push(performance.now());
      return { kind: 'done', seconds: null };
    },
  });
  await delay(50);
  const began = performance.now();
  await taker.start();
  await until('the taker', () => taken.length === 1);
  assert.ok(taken[0]! - began < 1000, `taken after ${taken[0]! - began} ms`);
  await giver.close();
  await delay(300);
  assert.equal(given, 1);
  assert.equal(taken.length, 1);
  await taker.close();
});

test('a retry comes back after its delay, and a handler that throws counts as one', async () => {
  const runs: number[] = [];
  const taker = consumer({
    handler: async () => {
      runs.push(performance.now());
      return runs.length === 1
        ? { kind: 'retry', delayMs: 400, reason: 'as the test wants it' }
        : { kind: 'done', seconds: null };
    },
  });
  await taker.start();
  await queue.enqueue('job-retried', ringWith(0));
  await until('the retry', () => runs.length === 2);
  assert.ok(runs[1]! - runs[0]! >= 390, `came back after ${runs[1]! - runs[0]!} ms`);
  await taker.close();

  const thrower = consumer({
    handler: async () => {
      throw new Error('a slip');
    },
  });
  await thrower.start();
  await queue.enqueue('job-thrown', ringWith(0));
  await until('the delay', async () => (await queue.counts()).delayed === 1);
  await thrower.close();
  assert.match(notices.join('\n'), /handler of job job-thrown threw.*a slip/);
  assert.equal(await queue.remove('job-thrown'), true);
});

test('a job of a worker killed with SIGKILL goes to another within the lock and two checks', async () => {
  let round = 0;
  const waited = await quickest(4500, async () => {
    round += 1;
    const a = await startConsumer('a', 60_000, 2000, 500);
    await queue.enqueue(`job-killed-${round}`, ringWith(0));
    await until('a to take it', () => a.told.some((t) => t.event === 'taken'));
    const b = await startConsumer('b', 0, 2000, 500);
    await end(a.child);
    const ms = await until('b to take it', () => b.told.some((t) => t.event === 'taken'));
    await until('the end', async () => (await queue.counts()).active === 0);
    await end(b.child);
    return ms;
  });
  assert.ok(waited < 4500, `b took it after ${waited} ms`);
});

test('a worker that was frozen past its lock knows before it does anything, and says nothing of the job', async () => {
  const frozen = await startConsumer('frozen', 0, 1500, 300, 3000);
  await queue.enqueue('job-frozen', ringWith(0));
  await until('the frozen one to take it', () => frozen.told.some((t) => t.event === 'taken'));
  // It stands still until another is there and has the job, however long that takes to come up.
  frozen.child.kill('SIGSTOP');
  const other = await startConsumer('other', 1500, 1500, 300);
  await until('the other one to take it', () => other.told.some((t) => t.event === 'taken'));
  frozen.child.kill('SIGCONT');
  await until('the frozen one to wake', () => frozen.told.some((t) => t.event === 'woke'));
  const woke = frozen.told.find((t) => t.event === 'woke');
  assert.equal(woke?.aborted, true);
  assert.equal(woke?.code, 'lease_lost');
  await until('the other one to finish', () => other.told.some((t) => t.event === 'done'));
  await until('the queue to be empty', async () => (await queue.counts()).active === 0);
  assert.deepEqual(await queue.counts(), { waiting: 0, active: 0, delayed: 0, failed: 0 });
  assert.equal([...frozen.told, ...other.told].filter((t) => t.event === 'taken').length, 2);
});

test('a silent Redis ends the lease; when Redis speaks again the job goes on elsewhere or here', async () => {
  const runs: string[] = [];
  const ends = new Map<string, string>();
  const taker = consumer({
    lockMs: 1000,
    stalledMs: 300,
    handler: async ({ jobId, signal }) => {
      runs.push(jobId);
      if (ends.has(jobId)) return { kind: 'done', seconds: null };
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      ends.set(jobId, String((signal.reason as { code?: string }).code));
      return { kind: 'abandon' };
    },
  });
  await taker.start();
  const waited = await quickest(1500, async () => {
    const jobId = `job-silent-${ends.size + 1}`;
    const ran = (times: number) => runs.filter((one) => one === jobId).length === times;
    await queue.enqueue(jobId, ringWith(0));
    await until('the job', () => ran(1));
    redis.pause();
    const ms = await until('the abort', () => ends.has(jobId)).finally(() => redis.resume());
    assert.equal(ends.get(jobId), 'lease_lost');
    await until('the second run', () => ran(2));
    return ms;
  });
  assert.ok(waited < 1500, `aborted after ${waited} ms`);
  await taker.close();
  assert.deepEqual(await queue.counts(), { waiting: 0, active: 0, delayed: 0, failed: 0 });
});

test('a job in hand outlives a restart of Redis within its lock', async () => {
  let aborted = false;
  let runs = 0;
  let release = () => {};
  const taker = consumer({
    // Redis comes back well within it, also on a slow machine.
    lockMs: 30_000,
    handler: async ({ signal }) => {
      runs += 1;
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      aborted ||= signal.aborted;
      return { kind: 'done', seconds: null };
    },
  });
  await taker.start();
  await queue.enqueue('job-restart', ringWith(0));
  await until('the job', () => runs === 1);
  // Append-only writes reach the disk every second.
  await delay(1100);
  await redis.kill9();
  await assert.rejects(queue.counts(), { code: 'queue_unavailable' });
  await redis.restart();
  await until('the queue', () =>
    queue.counts().then(
      (counts) => counts.active === 1,
      () => false,
    ),
  );
  await until('the notice', () => notices.some((text) => text.includes('is back')));
  release();
  await until('the end', async () => (await queue.counts()).active === 0);
  await taker.close();
  assert.equal(aborted, false);
  assert.equal(runs, 1);
  assert.ok(
    notices.some((text) => /is out of reach: .*; trying again/.test(text)),
    notices.join('\n'),
  );
});

test('a consumer started without Redis waits for it, saying so, and one that is closed then ends', async () => {
  const ran: string[] = [];
  await redis.stop();
  const handler: ConsumerOptions['handler'] = async ({ jobId }) => {
    ran.push(jobId);
    return { kind: 'done', seconds: null };
  };
  const patient = consumer({ handler });
  const started = patient.start();
  await until('a notice', () => notices.some((text) => text.includes('is out of reach')));
  const impatient = consumer({ handler });
  const never = impatient.start();
  await impatient.close();
  await never;
  await assert.rejects(queue.enqueue('job-nowhere', ringWith(0)), { code: 'queue_unavailable' });
  await redis.restart();
  await started;
  // One answer takes up to five seconds, the limit of a command: several may come from before the reconnection.
  const enqueued = () =>
    queue.enqueue('job-after', ringWith(0)).then(
      () => true,
      () => false,
    );
  await until('the queue', enqueued, 30_000);
  await until('the job', () => ran.includes('job-after'));
  await patient.close();
});

test('a queue whose first question to Redis was lost works all the same', async () => {
  let questions = 0;
  // ioredis asks INFO before it calls itself ready, then BullMQ does: that question is lost on its way.
  const relay = createServer((client) => {
    const server = connect({ host: '127.0.0.1', port: redis.port });
    for (const end of [client, server]) end.on('error', () => {});
    client.on('data', (bytes) => {
      const asks = /\$4\r\ninfo\r\n/i.test(bytes.toString('latin1'));
      if (asks) questions += 1;
      if (!asks || questions !== 2) server.write(bytes);
    });
    server.pipe(client);
    client.on('close', () => server.destroy());
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  const url = new URL(redis.url);
  url.port = String((relay.address() as AddressInfo).port);
  const flickering = openQueue({ url: url.href, model, onNotice: () => {} });
  try {
    const rung = () =>
      flickering.enqueue('job-flicker', ringWith(0)).then(
        () => true,
        () => false,
      );
    await until('the queue', rung, 30_000);
    assert.equal((await queue.counts()).waiting, 1);
  } finally {
    await flickering.close();
    relay.close();
  }
});

test('closing ends within three seconds of the last handler where Redis is gone', async () => {
  const running: string[] = [];
  const release = Promise.withResolvers<void>();
  const taker = consumer({
    concurrency: 2,
    lockMs: 30_000,
    handler: async ({ jobId }) => {
      running.push(jobId);
      await release.promise;
      return jobId === 'job-gone-1' ? { kind: 'done', seconds: null } : { kind: 'hand-back' };
    },
  });
  await taker.start();
  await queue.enqueue('job-gone-1', ringWith(0));
  await queue.enqueue('job-gone-2', ringWith(0));
  await until('both jobs', () => running.length === 2);
  await redis.stop();
  const closing = taker.close();
  release.resolve();
  const began = performance.now();
  await closing;
  assert.ok(performance.now() - began < 3000, `closed after ${performance.now() - began} ms`);
  await redis.restart();
});
