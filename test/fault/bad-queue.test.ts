import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { Cluster, models, waitFor } from '../support/cluster.ts';
import { ringWith } from '../support/ring.ts';
import { assertSame, bookBytes, generateTask, truth } from './shared.ts';

// BullMQ is a dependency of core alone: what is put on the queue here is what core would never put there.
const require = createRequire(new URL('../../core/package.json', import.meta.url));
const { Queue } = require('bullmq') as typeof import('bullmq');

const task = generateTask(20, 0);

test('Redis away at start: the worker says so and waits, then serves', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish });
  t.after(() => cluster.close());
  const text = await bookBytes(5000);
  const jobId = await cluster.submitText('redis-late', text, task);
  await cluster.redis.stop();
  const worker = cluster.launchWorker('patient');
  const line = await worker.says('is out of reach');
  assert.match(line, /Redis at redis:\/\/\*\*\*@.*; trying again/);
  assert.ok(!worker.lines.some((said) => said.includes('"ready"')), 'ready without Redis');
  await cluster.redis.restart();
  await worker.says('is back');
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, task));
});

test('a worker told to stop while Redis is away stops', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish });
  t.after(() => cluster.close());
  await cluster.redis.stop();
  const worker = cluster.launchWorker('impatient');
  await worker.says('is out of reach');
  const ms = await worker.stop('SIGTERM');
  t.diagnostic(`SIGTERM to exit: ${ms.toFixed(0)} ms`);
  assert.equal(worker.child.exitCode, 0);
  assert.ok(ms < 15_000, `took ${ms} ms`);
  assert.ok(!worker.lines.some((said) => said.includes('"ready"')), 'ready without Redis');
  await cluster.redis.restart();
});

test('messages that are none of ours, and jobs that the ledger does not know, end without touching the others', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const queue = new Queue('test', { connection: { url: cluster.redis.url }, prefix: '{longhaul}' });
  t.after(() => queue.close());
  const messages: readonly unknown[] = [
    {},
    null,
    'text',
    { jobId: '../../etc/passwd' },
    { jobId: 'known-job-1', extra: true },
    { jobId: 'no-such-job' },
    { jobId: 7 },
  ];
  for (const [i, message] of messages.entries())
    await queue.add('job', message, { jobId: `message-${i}`, priority: 1 });
  await cluster.queue.enqueue('unknown-job-1', ringWith(1000));
  const worker = await cluster.startWorker('only');
  for (const n of [1, 2, 3]) await cluster.submit(`known-job-${n}`, { kind: 'inline', text: 'abacad#b' }, task);
  for (const n of [1, 2, 3]) assert.equal((await cluster.result(`known-job-${n}`)).status, 'succeeded');
  assert.ok(worker.alive);
  await waitFor(
    async () => {
      const { active, failed } = await cluster.queue.counts();
      return active === 0 && failed === messages.length + 1 ? true : null;
    },
    30_000,
    () => 'every bad message to be put aside, and the last job to be off the queue',
  );
  for (const job of await queue.getFailed()) {
    assert.match(job.failedReason, /not a message of ours|job_not_found: .* has no job/, JSON.stringify(job.data));
  }
  assert.deepEqual(await cluster.queue.counts(), { waiting: 0, active: 0, delayed: 0, failed: messages.length + 1 });
});
