import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type JobConsumer, type JobQueue, openConsumer, openQueue, type QueueCensus } from '@longhaul/core/queue';
import { connectRedis } from '@longhaul/core/redis';
import { startTestRedis, type TestRedis } from '../support/redis.ts';

let redis: TestRedis;
let model = 'fair-0';
let queue: JobQueue & QueueCensus;
const consumers: JobConsumer[] = [];

before(async () => {
  redis = await startTestRedis();
});

beforeEach(() => {
  model = `fair-${Number(model.split('-')[1]) + 1}`;
  queue = openQueue({ url: redis.url, model, onNotice: () => {} });
});

afterEach(async () => {
  await Promise.all(consumers.splice(0).map((taker) => taker.close()));
  await queue.close();
});

after(() => redis.close());

/** The tenants in the order in which one worker took their jobs; a job's id begins with its tenant. */
async function taken(jobs: number, secondsTaken: (jobId: string) => number | null = () => null): Promise<string[]> {
  const order: string[] = [];
  const { promise: all, resolve } = Promise.withResolvers<void>();
  const taker = openConsumer({
    ...{ url: redis.url, model, concurrency: 1, lockMs: 5000, stalledMs: 1000, name: 'here', onNotice: () => {} },
    handler: async ({ jobId }) => {
      order.push(jobId);
      if (order.length === jobs) resolve();
      return { kind: 'done', seconds: secondsTaken(jobId) };
    },
  });
  consumers.push(taker);
  await taker.start();
  const timer = setTimeout(resolve, 30_000);
  await all;
  clearTimeout(timer);
  await taker.close();
  return order;
}

async function submit(tenant: string, count: number, seconds: number, priority = 0, from = 0): Promise<void> {
  for (let i = from; i < from + count; i++) {
    await queue.enqueue(`${tenant}-job-${i}`, { tenant, seconds, priority });
  }
}

const tenantOf = (jobId: string) => jobId.split('-')[0]!;

test('tenants share a worker by the seconds of their jobs, whoever came first and with however many', async () => {
  await submit('many', 40, 1);
  await submit('few', 10, 3);
  const order = await taken(50);
  assert.equal(order.length, 50);
  const served: Record<string, number> = { many: 0, few: 0 };
  for (const [i, jobId] of order.entries()) {
    served[tenantOf(jobId)]! += tenantOf(jobId) === 'few' ? 3 : 1;
    // While both wait, no one is ahead by more than one job of each.
    if (served['few']! < 30 && i > 0) {
      const apart = Math.abs(served['many']! - served['few']!);
      assert.ok(apart <= 4, `after ${i + 1} jobs the tenants are ${apart} s apart: ${order.slice(0, i + 1).join(' ')}`);
    }
  }
  assert.deepEqual(
    order.filter((id) => tenantOf(id) === 'few'),
    Array.from({ length: 10 }, (_, i) => `few-job-${i}`),
  );
});

test('a tenant that rested has no credit: it shares from now on', async () => {
  await submit('busy', 20, 1);
  await taken(20);
  await submit('busy', 6, 1, 0, 20);
  await submit('rested', 6, 1);
  const order = (await taken(12)).map(tenantOf);
  assert.ok(order.slice(0, 4).includes('busy'), `the one that rested took all: ${order.join(' ')}`);
  assert.ok(order.slice(0, 4).includes('rested'), `the one that rested waits: ${order.join(' ')}`);
});

test('a job that took more than was thought is charged when it ends', async () => {
  await submit('liar', 10, 0.1);
  await submit('honest', 10, 1);
  const order = (await taken(20, (jobId) => (tenantOf(jobId) === 'liar' ? 5 : 1))).map(tenantOf);
  const before = order.slice(0, 12).filter((tenant) => tenant === 'liar').length;
  assert.ok(before <= 4, `${before} jobs of 5 s ran among the first 12: ${order.join(' ')}`);
});

test('priority orders the jobs of a tenant, and takes nothing from another', async () => {
  await submit('plain', 6, 1);
  await submit('pushy', 6, 1, 1000);
  await submit('plain', 1, 1, 500, 100);
  const order = await taken(13);
  assert.ok(order.indexOf('plain-job-100') <= 4, `a high priority waits: ${order.join(' ')}`);
  assert.ok(order.slice(0, 8).filter((id) => tenantOf(id) === 'pushy').length <= 4, order.join(' '));
});

test('a job whose way out of the line was cut off goes again', async () => {
  await submit('lost', 2, 1);
  const raw = connectRedis({ url: redis.url, name: 'test', whileAway: 'fail', onNotice: () => {} });
  try {
    const key = (name: string) => `{longhaul}:${model}:fair:${name}`;
    // As a process leaves it that dies behind taking the job out of its line.
    assert.equal(await raw.zrem(key('line:lost'), 'lost-job-1'), 1);
    await raw.zadd(key('leaving'), Date.now(), 'lost-job-1');
    assert.deepEqual(await queue.whereabouts(['lost-job-0', 'lost-job-1']), ['waiting', 'waiting']);
    assert.deepEqual(await taken(2), ['lost-job-0', 'lost-job-1']);
    assert.equal(await raw.exists(key('jobs'), key('leaving'), key('tenants')), 0);
  } finally {
    raw.disconnect();
  }
});

test('a ring that no version wrote holds up nobody', async () => {
  await submit('sound', 3, 1);
  const raw = connectRedis({ url: redis.url, name: 'test', whileAway: 'fail', onNotice: () => {} });
  try {
    const key = `{longhaul}:${model}:fair:jobs`;
    await raw.hset(key, 'sound-job-1', '{"tenant":7}');
    assert.deepEqual(await taken(2), ['sound-job-0', 'sound-job-2']);
    await submit('sound', 2, 1, 0, 3);
    await raw.hset(key, 'sound-job-4', 'no JSON');
    assert.equal(await queue.remove('sound-job-4'), false);
    assert.deepEqual(await taken(1), ['sound-job-3']);
    await queue.enqueue('sound-job-5', { tenant: 'sound', seconds: 1, priority: 0 });
    assert.deepEqual(await taken(1), ['sound-job-5']);
    assert.equal(await raw.exists(key), 0);
  } finally {
    raw.disconnect();
  }
});

test('jobs in the line are seen, counted and can be taken out', async () => {
  await submit('seen', 5, 1);
  assert.equal((await queue.counts()).waiting, 5);
  assert.equal((await queue.demand()).prioritized, 5);
  const listed: string[] = [];
  for await (const page of queue.waiting()) listed.push(...page);
  assert.deepEqual(
    [...new Set(listed)].sort(),
    Array.from({ length: 5 }, (_, i) => `seen-job-${i}`),
  );
  assert.equal(await queue.remove('seen-job-3'), true);
  assert.equal(await queue.remove('seen-job-3'), false);
  await queue.enqueue('seen-job-1', { tenant: 'other', seconds: 9, priority: 7 });
  assert.equal((await queue.counts()).waiting, 4);
  assert.deepEqual(await taken(4), ['seen-job-0', 'seen-job-1', 'seen-job-2', 'seen-job-4']);
});

test('workers that all wait are woken by a burst, without a second between the jobs', async () => {
  const took: number[] = [];
  const { promise: all, resolve } = Promise.withResolvers<void>();
  for (let i = 0; i < 4; i++) {
    const taker = openConsumer({
      ...{ url: redis.url, model, concurrency: 4, lockMs: 5000, stalledMs: 1000, name: `w${i}`, onNotice: () => {} },
      handler: async () => {
        took.push(performance.now());
        if (took.length === 16) resolve();
        await all;
        return { kind: 'done', seconds: null };
      },
    });
    consumers.push(taker);
    await taker.start();
  }
  await delay(200);
  await submit('burst', 16, 1);
  const timer = setTimeout(resolve, 20_000);
  await all;
  clearTimeout(timer);
  assert.equal(took.length, 16);
  assert.ok(
    took.at(-1)! - took[0]! < 5000,
    `the last was taken ${Math.round(took.at(-1)! - took[0]!)} ms after the first`,
  );
});
