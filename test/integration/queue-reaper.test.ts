import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type JobQueue, openConsumer, openQueue, openReaper, type QueueReaper } from '@longhaul/core/queue';
import { waitFor } from '../support/cluster.ts';
import { startTestRedis, type TestRedis } from '../support/redis.ts';
import { ringWith } from '../support/ring.ts';

const script = fileURLToPath(new URL('../support/queue-consumer.ts', import.meta.url));
const lockMs = 1000;
const stalledMs = 500;

let redis: TestRedis;
let model = 'test-0';
let queue: JobQueue;
const notices: string[] = [];
const reaped: string[] = [];
const reapers: QueueReaper[] = [];
const children: ChildProcess[] = [];

before(async () => {
  redis = await startTestRedis();
});

beforeEach(() => {
  model = `test-${Number(model.split('-')[1]) + 1}`;
  queue = openQueue({ url: redis.url, model, onNotice: () => {} });
  notices.length = 0;
  reaped.length = 0;
});

afterEach(async () => {
  await Promise.all(children.splice(0).map(end));
  await Promise.all(reapers.splice(0).map((reaper) => reaper.close()));
  await queue.close();
});

after(async () => {
  await redis.close();
});

function reaper(): QueueReaper {
  const opened = openReaper({
    url: redis.url,
    model,
    stalledMs,
    onReaped: (jobId) => void reaped.push(jobId),
    onNotice: (text) => notices.push(text),
  });
  reapers.push(opened);
  return opened;
}

/** A worker process that takes the job and is killed with it in hand. */
async function loseWorkerWith(jobId: string): Promise<void> {
  await takeForEver(jobId);
  await end(children.pop()!);
}

async function takeForEver(jobId: string, holdsMs = lockMs): Promise<void> {
  const args = [redis.url, model, 'doomed', 600_000, holdsMs, stalledMs];
  const child = spawn(process.execPath, [script, ...args.map(String)], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const taken = async () => (said.includes(`"taken","jobId":"${jobId}"`) ? true : null);
  await waitFor(taken, 30_000, () => `${jobId} to be taken`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function waiting(count: number, timeoutMs: number): Promise<number> {
  const began = performance.now();
  const ask = async () => ((await queue.counts()).waiting === count ? true : null);
  await waitFor(ask, timeoutMs, () => `${count} waiting jobs`);
  return performance.now() - began;
}

/** The reaper tells of a job by an event, which comes a moment behind the job's being back. */
async function told(...jobIds: string[]): Promise<void> {
  const all = async () => (reaped.length >= jobIds.length ? true : null);
  await waitFor(all, 10_000, () => `${jobIds.length} jobs told by the reaper, not ${reaped.length}`);
  assert.deepEqual(reaped, jobIds);
}

test('the job of the last worker, killed, waits again within the lock and two looks, with no worker left', async (t) => {
  reaper();
  await queue.enqueue('job-orphan', ringWith(0));
  await loseWorkerWith('job-orphan');
  assert.equal((await queue.counts()).active, 1);
  const ms = await waiting(1, lockMs + 2 * stalledMs + 4000);
  t.diagnostic(`waited ${ms.toFixed(0)} ms with a lock of ${lockMs} ms and a look every ${stalledMs} ms`);
  await told('job-orphan');
  assert.deepEqual(await queue.counts(), { waiting: 1, active: 0, delayed: 0, failed: 0 });

  const ran: string[] = [];
  const taker = openConsumer({
    ...{ url: redis.url, model, concurrency: 1, lockMs, stalledMs, name: 'later', onNotice: () => {} },
    handler: async ({ jobId }) => {
      ran.push(jobId);
      return { kind: 'done', seconds: null };
    },
  });
  await taker.start();
  await waitFor(
    async () => (ran.length === 1 ? true : null),
    10_000,
    () => 'the job to run',
  );
  await taker.close();
  assert.deepEqual(ran, ['job-orphan']);
});

test('a job that loses its worker again and again comes back each time: the ledger alone decides what is poison', async () => {
  reaper();
  await queue.enqueue('job-unlucky', ringWith(0));
  for (let time = 1; time <= 3; time++) {
    await loseWorkerWith('job-unlucky');
    await waiting(1, 10_000);
  }
  await told('job-unlucky', 'job-unlucky', 'job-unlucky');
  assert.equal((await queue.counts()).failed, 0);
});

test('a job whose worker renews its lock is left alone, by two reapers at once too', async () => {
  reaper();
  reaper();
  await queue.enqueue('job-healthy', ringWith(0));
  // A lock that a machine with much to do does not miss to renew.
  await takeForEver('job-healthy', 5 * lockMs);
  // Time for several looks: there is no event of a look that finds nothing.
  await new Promise((resolve) => setTimeout(resolve, 6 * lockMs + 4 * stalledMs));
  assert.deepEqual(reaped, []);
  assert.equal((await queue.counts()).active, 1);
});

test('a reaper outlives a restart of Redis, and closes while Redis is away', async () => {
  const patient = reaper();
  await queue.enqueue('job-restart', ringWith(0));
  await loseWorkerWith('job-restart');
  await redis.stop();
  await waitFor(
    async () => (notices.length > 0 ? true : null),
    10_000,
    () => 'a notice',
  );
  await redis.restart();
  await waiting(1, 20_000);
  await redis.stop();
  const began = performance.now();
  await patient.close();
  assert.ok(performance.now() - began < 2000, `closed after ${performance.now() - began} ms`);
  await redis.restart();
  assert.match(notices[0] ?? '', /is out of reach: .*; trying again/);
});
