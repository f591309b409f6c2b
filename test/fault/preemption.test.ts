import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Cluster, models } from '../support/cluster.ts';
import { imdsPaths, instanceAction, type MetadataServer, startMetadataServer } from '../support/metadata-server.ts';
import { assertCommittedWork, letters } from './committed-work.ts';
import { onS3 } from './on-s3.ts';
import { assertSame, bookBytes, scoreTask, truth } from './shared.ts';

/** Commits happen only where a test makes them. Nobody dies here: a machine that stalls must not cost a lock. */
const never = {
  LONGHAUL_COMMIT_SECONDS: '3600',
  LONGHAUL_COMMIT_TOKENS: String(2 ** 30),
  LONGHAUL_LOCK_MS: '15000',
};

async function metadata(t: TestContext): Promise<{ imds: MetadataServer; onSpot: Record<string, string> }> {
  const imds = await startMetadataServer();
  imds.requireToken();
  t.after(() => imds.close());
  return { imds, onSpot: { LONGHAUL_PREEMPTION: 'ec2', LONGHAUL_IMDS_ENDPOINT: imds.url } };
}

test('a spot notice while a job runs: committed, handed back, and ended by another with the same bytes', async (t) => {
  const { imds, onSpot } = await metadata(t);
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: never });
  t.after(() => cluster.close());
  const text = await bookBytes(80_000);
  const jobId = await cluster.submitText('spot-notice', text, scoreTask);
  const taken = await cluster.startWorker('taken', onSpot);
  await cluster.progress(jobId, (p) => p.tokens >= 10_000);
  imds.set(imdsPaths.instanceAction, instanceAction('terminate'));
  const said = await taken.says('preemption notice');
  assert.match(said, /"source":"ec2","action":"leave".*"deadline":"2026-01-02T03:04:05.000Z"/);
  const head = await cluster.head(jobId, (h) => h.status === 'queued' && h.seq === 1);
  assert.equal(head.stuckAttempts, 0);
  await taken.stop('SIGCONT');
  assert.equal(taken.child.exitCode, 0);
  await cluster.startWorker('heir');
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, scoreTask));
  assert.equal(result.stats.attempts, 2);
  assert.equal(result.stats.recomputedTokens, 0);
});

test('a rebalance recommendation: commit now, take nothing new, end what is in hand, then go', async (t) => {
  const { imds, onSpot } = await metadata(t);
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: never });
  t.after(() => cluster.close());
  const text = await bookBytes(80_000);
  const jobId = await cluster.submitText('rebalance-1', text, scoreTask);
  const worker = await cluster.startWorker('careful', onSpot);
  await cluster.progress(jobId, (p) => p.tokens >= 8000);
  imds.set(imdsPaths.rebalance, { body: '{"noticeTime":"2026-01-02T03:00:00Z"}' });
  const head = await cluster.head(jobId, (h) => h.seq >= 1);
  assert.deepEqual([head.status, head.owner], ['running', 'careful']);
  await worker.says('finishing what is in hand');
  const later = await cluster.submitText('rebalance-2', text.subarray(0, 1000), scoreTask);
  const result = await cluster.result(jobId);
  assert.equal(result.stats.attempts, 1);
  // One commit for the notice, one at the end.
  assert.equal(result.stats.commits, 2);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, scoreTask));
  await worker.says('"stopped"');
  await worker.stop('SIGCONT');
  assert.equal(worker.child.exitCode, 0);
  assert.equal((await cluster.head(later, () => true)).epoch, 0, 'a new job was taken');
  assert.equal((await cluster.queue.counts()).waiting, 1);
});

test('a rebalance recommendation while the source gives nothing: what was read is committed without waiting for it', async (t) => {
  const { imds, onSpot } = await metadata(t);
  const { s3, cluster } = await onS3(t, models.induction, never);
  const document = { method: 'GET', keyIncludes: 'inputs/', skip: 1 } as const;
  s3.faults.add({ match: { ...document, times: 1 }, action: 'truncate-body' });
  const stall = s3.faults.add({ match: document, action: 'stall' });
  const jobId = await cluster.submitText('rebalance-stalled', letters(600_000), scoreTask);
  await cluster.startWorker('waiting', onSpot);
  await stall.hit;
  // By now the engine has run all that came.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const { tokens } = await cluster.progress(jobId, () => true);
  assert.equal((await cluster.head(jobId, () => true)).seq, 0);
  imds.set(imdsPaths.rebalance, { body: '{"noticeTime":"2026-01-02T03:00:00Z"}' });
  await cluster.head(jobId, (h) => h.seq === 1);
  await assertCommittedWork(cluster, jobId, tokens);
});

test('signals during a flush are told and do not end it', async (t) => {
  const { s3, cluster } = await onS3(t, models.tinyEnglish, never);
  const jobId = await cluster.submitText('signals-in-flush', await bookBytes(100_000), scoreTask);
  const worker = await cluster.startWorker('beset');
  await cluster.progress(jobId, (p) => p.tokens >= 6000);
  // The flush stands still in its first write until the other signals are told.
  const flush = s3.faults.add({ match: { method: 'PUT', keyIncludes: `jobs/${jobId}/ckpt/` }, action: 'stall' });
  worker.signal('SIGTERM');
  await worker.says('"draining"');
  await flush.hit;
  worker.signal('SIGINT');
  worker.signal('SIGTERM');
  await worker.says('preemption notice; another was first');
  s3.faults.clear();
  await worker.says('"stopped"');
  await worker.stop('SIGCONT');
  assert.equal(worker.child.exitCode, 0);
  const head = await cluster.head(jobId, () => true);
  assert.deepEqual([head.status, head.seq], ['queued', 1]);
});

test('a broken metadata service is told once, and the job is read on', async (t) => {
  const { imds, onSpot } = await metadata(t);
  imds.set('*', { status: 500 });
  const cluster = await Cluster.start({ model: models.tinyEnglish });
  t.after(() => cluster.close());
  const text = await bookBytes(20_000);
  const worker = await cluster.startWorker('unheard', onSpot);
  await worker.says('preemption source does not answer');
  const jobId = await cluster.submitText('imds-broken', text, scoreTask);
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, scoreTask));
  assert.equal(worker.lines.filter((line) => line.includes('preemption source')).length, 1);
});
