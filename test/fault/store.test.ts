import assert from 'node:assert/strict';
import { test } from 'node:test';
import { models } from '../support/cluster.ts';
import { onS3 } from './on-s3.ts';
import { assertSame, bookBytes, generateTask, scoreTask, truth } from './shared.ts';

/** Many small commits, so that every fault meets its call on a fast machine too. */
const env = { LONGHAUL_COMMIT_TOKENS: '8192' };

test('throttling, lost answers, conflicts and resets change nothing in the result', async (t) => {
  const { s3, cluster } = await onS3(t, models.tinyEnglish, env);
  const text = await bookBytes(80_000);
  const jobId = await cluster.submitText('s3-faults', text, scoreTask);
  const hits = [
    s3.faults.add({ match: { method: 'PUT', keyIncludes: 'head.json', skip: 2, times: 2 }, action: 'reset-after' }),
    s3.faults.add({ match: { method: 'PUT', keyIncludes: 'ckpt/', times: 1 }, action: 'slow-down-503' }),
    s3.faults.add({ match: { method: 'PUT', keyIncludes: 'ckpt/', times: 1, skip: 1 }, action: 'reset-after' }),
    s3.faults.add({ match: { method: 'PUT', keyIncludes: 'out/', times: 1 }, action: 'internal-500' }),
    s3.faults.add({ match: { method: 'PUT', keyIncludes: 'head.json', skip: 5, times: 1 }, action: 'conflict-409' }),
    s3.faults.add({ match: { method: 'GET', keyIncludes: 'inputs/', times: 1 }, action: 'truncate-body' }),
    s3.faults.add({ match: { method: 'PUT', keyIncludes: 'result.json', times: 1 }, action: 'reset-after' }),
  ];
  await cluster.startWorker('one');
  const result = await cluster.result(jobId, 120_000);
  for (const [i, fault] of hits.entries()) assert.ok(fault.hits > 0, `fault ${i} never happened`);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, scoreTask));
});

test('the store away in the middle, and a kill right after: work waits, then goes on', async (t) => {
  const { s3, cluster } = await onS3(t, models.tinyEnglish, env);
  const text = await bookBytes(80_000);
  const jobId = await cluster.submitText('s3-away-midway', text, scoreTask);
  const first = await cluster.startWorker('first');
  await cluster.progress(jobId, (p) => p.tokens >= 15_000);
  s3.faults.down();
  await new Promise((resolve) => setTimeout(resolve, 3000));
  s3.faults.up();
  await cluster.progress(jobId, (p) => p.tokens >= 40_000);
  await first.stop('SIGKILL');
  await cluster.startWorker('second');
  const result = await cluster.result(jobId, 120_000);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, scoreTask));
});

test('the store away at start: the worker says so, waits, and then serves', async (t) => {
  const { s3, cluster } = await onS3(t, models.tinyEnglish, env);
  const text = await bookBytes(5_000);
  const task = generateTask(50, 0);
  const jobId = await cluster.submitText('s3-away-at-start', text, task);
  s3.faults.down();
  const worker = cluster.launchWorker('patient');
  await worker.says('waiting for the store', 60_000);
  s3.faults.up();
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, task));
});

test('a full store: nothing is lost, and the job ends once there is room', async (t) => {
  const { s3, cluster } = await onS3(t, models.tinyEnglish, env);
  const text = await bookBytes(80_000);
  const jobId = await cluster.submitText('s3-full-midway', text, scoreTask);
  const worker = await cluster.startWorker('one');
  await cluster.head(jobId, (h) => h.seq >= 1);
  const full = s3.faults.add({ match: { method: 'PUT' }, action: 'full' });
  await full.hit;
  await worker.says('store_full');
  const before = await cluster.head(jobId, () => true);
  assert.ok(before.checkpoint !== null && before.seq >= 1, 'the committed work is gone');
  s3.faults.clear();
  const result = await cluster.result(jobId, 120_000);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, scoreTask));
});

test('a store that ignores conditional writes is refused at start', async (t) => {
  const { s3, cluster } = await onS3(t, models.tinyEnglish, env);
  s3.faults.add({ match: {}, action: 'no-conditions' });
  const worker = cluster.launchWorker('careful');
  await worker.says('store_unsafe');
  await worker.stop('SIGCONT');
  assert.equal(worker.child.exitCode, 1);
});
