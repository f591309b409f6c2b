import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits, type Task } from '@longhaul/core/contracts';
import { decodeCheckpoint } from '@longhaul/core/ledger';
import { Cluster, models } from '../support/cluster.ts';
import { assertSame, bookBytes, generateTask, truth } from './shared.ts';

const ingest: Task = { kind: 'ingest' };

test('a job that began from the prefix cache, then lost its worker, was handed back and lost the entry, ends with the bytes of one that read everything', async (t) => {
  const cluster = await Cluster.start({
    model: models.tinyEnglish,
    env: { LONGHAUL_COMMIT_SECONDS: '0.3', LONGHAUL_LOCK_MS: '4000' },
  });
  t.after(() => cluster.close());
  const text = await bookBytes(30_000);
  const victim = await cluster.startWorker('victim');
  await cluster.submitText('job-ingest', text.subarray(0, 21_000), ingest, { saveAs: 'book' });
  await cluster.result('job-ingest');
  const task = generateTask(2000, 0.8);
  const jobId = await cluster.submitText('prefix-generate', text, task);
  const { position, seq } = await cluster.head(jobId, (head) => head.seq > 0);
  const cachedTokens = position.cached?.tokens ?? 0;
  assert.ok(cachedTokens > 16_000, `the job began at token ${cachedTokens}: seq ${seq}`);
  await victim.stop('SIGKILL');

  const leaver = await cluster.startWorker('leaver');
  await cluster.progress(jobId, (p) => p.worker === 'leaver' && p.outputTokens > 200);
  await leaver.stop('SIGTERM');
  await cluster.states.remove('default', { name: 'book', version: null });
  assert.deepEqual(await cluster.states.prefixes.list('default', null), []);
  await cluster.startWorker('survivor');
  const result = await cluster.result(jobId);
  const expected = await truth(cluster, models.tinyEnglish, text, task);
  assert.equal(expected.usage.cachedTokens, 0);
  await assertSame(cluster, jobId, result, {
    ...expected,
    usage: { ...expected.usage, inputTokens: expected.usage.inputTokens - cachedTokens, cachedTokens },
  });
  assert.deepEqual([result.usage.cachedTokens, result.stats.attempts], [cachedTokens, 3]);
});

test('a reader that is killed, then handed back, leaves the entry that one who was left alone leaves', async (t) => {
  const cluster = await Cluster.start({
    model: models.tinyEnglish,
    env: { LONGHAUL_COMMIT_TOKENS: '8192', LONGHAUL_COMMIT_SECONDS: '3600', LONGHAUL_LOCK_MS: '4000' },
  });
  t.after(() => cluster.close());
  const text = await bookBytes(60_000);
  const jobId = await cluster.submitText('job-ingest', text, ingest, { saveAs: 'book' });
  for (const [i, [at, signal]] of (
    [
      [15_000, 'SIGKILL'],
      [38_000, 'SIGTERM'],
    ] as const
  ).entries()) {
    const worker = await cluster.startWorker(`leaver-${i}`);
    await cluster.progress(jobId, (p) => p.worker === worker.id && p.tokens >= at);
    await worker.stop(signal);
  }
  await cluster.startWorker('survivor');
  const result = await cluster.result(jobId);
  assert.equal(result.stats.attempts, 3);
  const left = await entryOf(cluster);
  await cluster.states.remove('default', { name: 'book', version: null });
  await cluster.submitText('job-straight', text, ingest, { saveAs: 'straight' });
  const straight = await cluster.result('job-straight');
  assert.deepEqual([straight.digests, straight.usage.cachedTokens], [result.digests, 0]);
  assert.deepEqual(left, await entryOf(cluster));
});

/** What the only entry stands for: where its cursor restarts depends on how the bytes came. */
async function entryOf(cluster: Cluster) {
  const entries = await cluster.states.prefixes.list('default', null);
  assert.equal(entries.length, 1);
  const { key, tokens } = entries[0]!;
  const file = await cluster.store.get(key, { maxBytes: limits.checkpointBytes });
  const { state, stateSha256 } = await decodeCheckpoint(key, file!.body, null);
  assert.equal(state.tokenOffset, tokens);
  return { tokens, stateSha256 };
}
