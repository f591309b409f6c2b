import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cluster, models } from '../support/cluster.ts';
import { behindProxy } from './behind-proxy.ts';
import { assertSame, bookBytes, scoreTask, truth } from './shared.ts';

test('a worker frozen past its lock is fenced: its commits are refused, the result is whole', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish });
  t.after(() => cluster.close());
  const text = await bookBytes(80_000);
  const jobId = await cluster.submitText('frozen-worker', text, scoreTask);
  const zombie = await cluster.startWorker('zombie');
  await cluster.progress(jobId, (p) => p.tokens >= 15_000);
  zombie.signal('SIGSTOP');
  await cluster.startWorker('heir');
  const taken = await cluster.head(jobId, (h) => h.owner === 'heir');
  zombie.signal('SIGCONT');
  await zombie.says('attempt ended: abandon');
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, scoreTask));
  const head = await cluster.head(jobId, () => true);
  assert.equal(head.epoch, taken.epoch, 'the zombie took the job back');
});

test('Redis killed and restarted in the middle: the job goes on and ends the same', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish });
  t.after(() => cluster.close());
  const text = await bookBytes(80_000);
  const jobId = await cluster.submitText('redis-restart', text, scoreTask);
  await cluster.startWorker('first');
  await cluster.startWorker('second');
  await cluster.progress(jobId, (p) => p.tokens >= 15_000);
  await cluster.redis.kill9();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  await cluster.redis.restart();
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, scoreTask));
});

test('a worker cut off from Redis stops by its own clock; another ends the job', async (t) => {
  const { cluster, proxy } = await behindProxy(t, models.tinyEnglish);
  const text = await bookBytes(120_000);
  const jobId = await cluster.submitText('partition', text, scoreTask);
  const cut = await cluster.startWorker('cut-off');
  await cluster.progress(jobId, (p) => p.tokens >= 15_000);
  proxy.freeze();
  const ended = cut.says('attempt ended: abandon');
  // The heir reaches Redis directly.
  await cluster.startWorker('heir', { LONGHAUL_REDIS_URL: cluster.redis.url });
  await ended;
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, scoreTask));
});
