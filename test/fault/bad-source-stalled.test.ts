import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Cluster, models } from '../support/cluster.ts';
import { startS3Server } from '../support/s3-server/index.ts';
import { assertCommittedWork, committing, letters } from './committed-work.ts';
import { assertSame, scoreTask, truth } from './shared.ts';

/** A worker that has read half of its document, and whose store gives nothing more of it. */
async function stalled(t: TestContext) {
  const s3 = await startS3Server();
  const cluster = await Cluster.start({
    model: models.induction,
    env: committing,
    store: {
      url: `s3://${s3.bucket}/ledger`,
      options: {
        endpoint: s3.url,
        region: s3.region,
        forcePathStyle: true,
        credentials: { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey },
      },
      env: {
        LONGHAUL_S3_ENDPOINT: s3.url,
        LONGHAUL_S3_REGION: s3.region,
        LONGHAUL_S3_FORCE_PATH_STYLE: '1',
        AWS_ACCESS_KEY_ID: s3.accessKeyId,
        AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
      },
    },
  });
  t.after(async () => {
    s3.faults.clear();
    await cluster.close();
    await s3.close();
  });
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
  const result = await cluster.result(jobId, 5000);
  assert.equal(result.status, 'cancelled');
  await assertCommittedWork(cluster, jobId, tokens);
});
