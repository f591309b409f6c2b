import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createProducer } from '@longhaul/producer';
import { Cluster, models } from '../support/cluster.ts';
import { assertRefusedLater, letters, runUntil } from './committed-work.ts';
import { assertSame, scoreTask, truth } from './shared.ts';

test('a job that met the wrong model is redriven once the right one is back, and ends with the bytes of an uninterrupted run', async (t) => {
  const cluster = await Cluster.start({
    model: models.induction,
    env: { LONGHAUL_COMMIT_TOKENS: '8192', LONGHAUL_COMMIT_SECONDS: '3600' },
  });
  t.after(() => cluster.close());
  const text = letters(600_000);
  const jobId = await cluster.submitText('job-redriven', text, scoreTask);
  const committed = await runUntil(cluster, jobId, 8192, 'SIGTERM');
  const wrong = await cluster.startWorker('wrong-model', { LONGHAUL_MODEL: models.tinyEnglish });
  const refused = await assertRefusedLater(cluster, jobId, 'model_mismatch', committed);
  await wrong.stop();

  const producer = createProducer({
    ledger: cluster.ledger,
    live: null,
    openQueueFor: async () => cluster.queue,
  });
  const redriven = await producer.redrive(jobId, {
    expiresInMs: null,
    enqueueMs: 5000,
    signal: new AbortController().signal,
  });
  assert.deepEqual(redriven, { jobId, outcome: 'redriven', tokenOffset: committed, queue: 'told', queueError: null });
  await cluster.startWorker('right-model');
  const result = await cluster.result(jobId);
  assert.deepEqual([result.generation, refused.generation], [1, 0]);
  await assertSame(cluster, jobId, result, await truth(cluster, models.induction, text, scoreTask));
  const head = await cluster.head(jobId, () => true);
  assert.deepEqual(
    head.history.map(({ failure }) => failure?.code),
    ['model_mismatch'],
  );
});
