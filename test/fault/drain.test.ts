import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cluster, models } from '../support/cluster.ts';
import { assertSame, bookBytes, generateTask, scoreTask, truth } from './shared.ts';

/** Nobody dies here: a machine that stalls must not cost a lock. */
const env = { LONGHAUL_COMMIT_SECONDS: '3600', LONGHAUL_LOCK_MS: '15000' };

test('SIGTERM under load: commit, hand back, exit within 5 s, at most one chunk read again', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env });
  t.after(() => cluster.close());
  const text = await bookBytes(80_000);
  const jobId = await cluster.submitText('drain-score', text, scoreTask);
  const first = await cluster.startWorker('first');
  const second = await cluster.startWorker('second');
  const { worker } = await cluster.progress(jobId, (p) => p.tokens >= 20_000);
  const [taken, other] = worker === 'first' ? [first, second] : [second, first];
  const flushMs = await taken.stop('SIGTERM');
  t.diagnostic(`SIGTERM to exit: ${flushMs.toFixed(0)} ms`);
  assert.ok(flushMs < 5000, `took ${flushMs} ms`);
  assert.equal(taken.child.exitCode, 0);
  await cluster.progress(jobId, (p) => p.worker === other.id);
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, scoreTask));
  assert.ok(result.stats.recomputedTokens <= 2048, `recomputed ${result.stats.recomputedTokens} tokens`);
  assert.equal(result.stats.attempts, 2);
});

test('SIGTERM while writing: nothing is lost and nothing is sampled twice', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env });
  t.after(() => cluster.close());
  const text = await bookBytes(10_000);
  const task = generateTask(4000, 0);
  const jobId = await cluster.submitText('drain-generate', text, task);
  const first = await cluster.startWorker('first');
  await cluster.progress(jobId, (p) => p.outputTokens >= 1000);
  await first.stop('SIGTERM');
  await cluster.startWorker('second');
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, task));
  assert.ok(result.stats.recomputedTokens <= 1, `recomputed ${result.stats.recomputedTokens} tokens`);
});

test('a worker whose parent is gone drains too', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env });
  t.after(() => cluster.close());
  const jobId = await cluster.submitText('drain-parent', await bookBytes(160_000), scoreTask);
  const worker = await cluster.startWorker('orphan');
  await cluster.progress(jobId, (p) => p.tokens >= 15_000);
  worker.child.stdin!.end();
  const head = await cluster.head(jobId, (h) => h.status === 'queued' && h.seq > 0);
  assert.ok(head.position.tokenOffset >= 15_000);
  await worker.stop('SIGCONT');
  assert.equal(worker.child.exitCode, 0);
});
