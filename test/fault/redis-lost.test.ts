import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createProducer } from '@longhaul/producer';
import { Redis } from 'ioredis';
import { Cluster, models } from '../support/cluster.ts';
import { ringWith } from '../support/ring.ts';
import { letters } from './committed-work.ts';
import { assertSame, scoreTask, truth } from './shared.ts';

/** A worker in the middle of a job. */
async function atWork(t: TestContext, jobId: string) {
  const cluster = await Cluster.start({ model: models.induction, env: { LONGHAUL_COMMIT_SECONDS: '0.2' } });
  t.after(() => cluster.close());
  const text = letters(1_000_000);
  await cluster.submitText(jobId, text, scoreTask);
  const worker = await cluster.startWorker('at-work');
  await cluster.head(jobId, (head) => head.seq >= 2);
  return { cluster, text, worker };
}

test('I-5: Redis back without its data costs no work: jobs in hand and waiting end the same once they are rung again', async (t) => {
  const { cluster, text, worker } = await atWork(t, 'redis-wiped');
  const waiting = ['wiped-waiting-1', 'wiped-waiting-2'];
  for (const jobId of waiting) await cluster.submitText(jobId, text.subarray(0, 20_000), scoreTask);
  await cluster.redis.kill9();
  await cluster.redis.restartEmpty();
  // The lock is gone with the data: its owner finds that out and leaves the job to whoever is rung for.
  await worker.says('attempt ended: abandon', 60_000);
  const { seq } = await cluster.head('redis-wiped', () => true);
  for (const jobId of ['redis-wiped', ...waiting]) await cluster.queue.enqueue(jobId, ringWith(0));
  const result = await cluster.result('redis-wiped', 300_000);
  await assertSame(cluster, 'redis-wiped', result, await truth(cluster, models.induction, text, scoreTask));
  const head = await cluster.head('redis-wiped', () => true);
  assert.ok(seq >= 2 && head.seq > seq, `committed up to ${seq}, then up to ${head.seq}`);
  assert.equal(result.stats.attempts, 2);
  for (const jobId of waiting) assert.equal((await cluster.result(jobId)).status, 'succeeded');
});

test('Redis out of memory under noeviction: submitting says so and the job is durable; nothing in hand is lost', async (t) => {
  const { cluster, text } = await atWork(t, 'redis-full');
  const admin = new Redis(cluster.redis.url);
  // It outlives the server that it speaks to.
  admin.on('error', () => {});
  t.after(() => admin.disconnect());
  await admin.config('SET', 'maxmemory', '1');
  const producer = createProducer({
    ledger: cluster.ledger,
    live: cluster.live,
    openQueueFor: async () => cluster.queue,
  });
  const submission = {
    document: { kind: 'source', source: { kind: 'inline', text: 'abacad#b' } },
    questions: null,
    request: {
      task: scoreTask,
      compression: 'auto',
      invalidUtf8: 'error',
      addBos: false,
      from: null,
      saveAs: null,
      prefixCache: true,
    },
    model: 'test',
    tenant: 'default',
    priority: 0,
    jobId: 'submitted-while-full',
    idempotencyKey: null,
    enqueueMs: 1000,
    expiresInMs: null,
    signal: t.signal,
  } as const satisfies Parameters<typeof producer.submit>[0];
  const refused = await producer.submit(submission);
  assert.deepEqual([refused.outcome, refused.queue], ['created', 'unreachable']);
  assert.match(refused.queueError ?? '', /OOM|maxmemory/);
  // Longer than the lock, which cannot be renewed meanwhile.
  await new Promise((resolve) => setTimeout(resolve, 4000));
  await admin.config('SET', 'maxmemory', '0');
  const told = await producer.submit(submission);
  assert.deepEqual([told.outcome, told.queue], ['existing', 'told']);
  const result = await cluster.result('redis-full', 300_000);
  await assertSame(cluster, 'redis-full', result, await truth(cluster, models.induction, text, scoreTask));
  assert.equal((await cluster.result('submitted-while-full')).status, 'succeeded');
});
