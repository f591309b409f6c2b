import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { models } from '../support/cluster.ts';
import { assertCommittedWork, committing, letters } from './committed-work.ts';
import { onS3 } from './on-s3.ts';
import { assertSame, scoreTask, truth } from './shared.ts';

/** A worker that has read half of its document, and whose store gives nothing more of it. */
async function stalled(t: TestContext) {
  const { s3, cluster } = await onS3(t, models.induction, committing);
  const text = letters(600_000);
  // The first GET looks for a container's magic bytes.
  const document = { method: 'GET', keyIncludes: 'inputs/', skip: 1 } as const;
  s3.faults.add({ match: { ...document, times: 1 }, action: 'truncate-body' });
  const stall = s3.faults.add({ match: document, action: 'stall' });
  const jobId = await cluster.submitText('stalled-source', text, scoreTask);
  const worker = await cluster.startWorker('waiting');
  await cluster.head(jobId, (head) => head.seq >= 1);
  await stall.hit;
  // By now the engine has run all that came.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const tokens = (await cluster.head(jobId, () => true)).position.tokenOffset;
  return { s3, cluster, text, jobId, worker, tokens };
}

test('SIGTERM while the source gives nothing: what was read is committed and handed back within 5 s', async (t) => {
  const { s3, cluster, text, jobId, worker, tokens } = await stalled(t);
  const ms = await worker.stop('SIGTERM');
  t.diagnostic(`SIGTERM to exit: ${ms.toFixed(0)} ms`);
  assert.ok(ms < 5000, `took ${ms} ms`);
  const head = await cluster.head(jobId, () => true);
  assert.deepEqual([head.status, head.stuckAttempts], ['queued', 0]);
  await assertCommittedWork(cluster, jobId, tokens);

  const second = await cluster.startWorker('second');
  await second.says('job taken');
  const again = await second.stop('SIGTERM');
  assert.ok(again < 5000, `took ${again} ms while the document was opened`);
  assert.equal((await cluster.head(jobId, () => true)).stuckAttempts, 0);

  s3.faults.clear();
  await cluster.startWorker('third');
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.induction, text, scoreTask));
});

test('a cancel while the source gives nothing is heard', async (t) => {
  const { cluster, jobId, tokens } = await stalled(t);
  await cluster.ledger.requestCancel(jobId);
  await cluster.live.signalCancel(jobId);
  const result = await cluster.result(jobId, 30_000);
  assert.equal(result.status, 'cancelled');
  await assertCommittedWork(cluster, jobId, tokens);
});
