import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type JobQueue, openConsumer, openQueue, type QueueCensus, type Settlement } from '@longhaul/core/queue';
import { connectRedis } from '@longhaul/core/redis';
import { waitFor } from '../support/cluster.ts';
import { startTestRedis, type TestRedis } from '../support/redis.ts';
import { ringWith } from '../support/ring.ts';

let redis: TestRedis;

before(async () => {
  redis = await startTestRedis();
});

after(async () => {
  await redis.close();
});

function open(model: string): JobQueue & QueueCensus {
  return openQueue({ url: redis.url, model, onNotice: () => {} });
}

/** Takes jobs, each with the end that is given for it, or none. */
async function taking(model: string, ends: Readonly<Record<string, Promise<Settlement>>>) {
  const taken = new Set<string>();
  const consumer = openConsumer({
    ...{ url: redis.url, model, concurrency: 8, lockMs: 60_000, stalledMs: 60_000, name: 'here', onNotice: () => {} },
    handler: ({ jobId }) => {
      taken.add(jobId);
      return ends[jobId] ?? Promise.resolve({ kind: 'done', seconds: null });
    },
  });
  await consumer.start();
  return { consumer, taken };
}

test('every place of a job is known, and counted in the demand once', async (t) => {
  const queue = open('places');
  t.after(() => queue.close());
  const raw = connectRedis({ url: redis.url, name: 'test', whileAway: 'fail', onNotice: () => {} });
  t.after(() => raw.disconnect());
  const done = Promise.withResolvers<Settlement>();
  const { consumer, taken } = await taking('places', {
    'job-is-held': done.promise,
    'job-orphan': done.promise,
    'job-soon-1': Promise.resolve({ kind: 'retry', delayMs: 30_000, reason: 'later' }),
    'job-later': Promise.resolve({ kind: 'retry', delayMs: 600_000, reason: 'much later' }),
    'job-broken': Promise.resolve({ kind: 'quarantine', reason: 'bad' }),
  });
  t.after(async () => {
    done.resolve({ kind: 'abandon' });
    await consumer.close();
  });
  for (const jobId of ['job-is-held', 'job-orphan', 'job-soon-1', 'job-later', 'job-broken', 'job-done-1']) {
    await queue.enqueue(jobId, ringWith(0));
  }
  const settled = async () => {
    const { active, delayed, failed, waiting } = await queue.counts();
    // One that is active has its handler a moment later; a consumer that is paused in between hands it back.
    const inPlace = active === 2 && delayed === 2 && failed === 1 && waiting === 0;
    return inPlace && taken.has('job-is-held') && taken.has('job-orphan') ? true : null;
  };
  await waitFor(settled, 10_000, () => 'the jobs to be in their places');
  await consumer.pause();
  await queue.enqueue('job-waits', ringWith(5));
  // A lock that has run out, as after the death of a worker.
  assert.equal(await raw.del('{longhaul}:places:job-orphan:lock'), 1);

  const jobs = ['job-is-held', 'job-orphan', 'job-soon-1', 'job-waits', 'job-broken', 'job-done-1', 'job-never'];
  assert.deepEqual(await queue.whereabouts(jobs), [
    'held',
    'orphaned',
    'waiting',
    'waiting',
    'absent',
    'absent',
    'absent',
  ]);
  assert.deepEqual(await queue.demand(), {
    waiting: 0,
    prioritized: 1,
    delayedDue: 1,
    delayedLater: 1,
    held: 1,
    orphaned: 1,
  });
});

test('all waiting jobs are listed, over many pages', async (t) => {
  const queue = open('pages');
  t.after(() => queue.close());
  const expected = Array.from({ length: 600 }, (_, i) => `job-${String(i).padStart(4, '0')}`);
  await Promise.all(expected.map((jobId) => queue.enqueue(jobId, ringWith(0))));
  const found: string[] = [];
  for await (const page of queue.waiting()) found.push(...page);
  assert.deepEqual(found.sort(), expected);
});

test('what is left of a message that no list holds does not swallow the next ring', async (t) => {
  const queue = open('remains');
  t.after(() => queue.close());
  const raw = connectRedis({ url: redis.url, name: 'test', whileAway: 'fail', onNotice: () => {} });
  t.after(() => raw.disconnect());
  await queue.enqueue('job-remains', ringWith(0));
  assert.equal(await raw.del('{longhaul}:remains:prioritized'), 1);
  assert.deepEqual(await queue.whereabouts(['job-remains']), ['absent']);
  await queue.enqueue('job-remains', ringWith(0));
  assert.deepEqual(await queue.whereabouts(['job-remains']), ['waiting']);
});
