import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '@longhaul/core/contracts';
import { Cluster, models } from '../support/cluster.ts';
import { committing, runUntil } from './committed-work.ts';
import { assertSame, bookBytes, scoreTask, truth } from './shared.ts';

/** Found within a second, so that many deaths take seconds. */
const shortLock = { LONGHAUL_LOCK_MS: '1000', LONGHAUL_STALLED_MS: '250' };

test('attempts that commit something do not count as stuck, however many workers die', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: { ...committing, ...shortLock } });
  t.after(() => cluster.close());
  const text = await bookBytes(50_000);
  const jobId = await cluster.submitText('slow-but-alive', text, scoreTask);
  for (let i = 1; i <= limits.stuckAttempts + 1; i++) await runUntil(cluster, jobId, i * 8192, 'SIGKILL');
  await cluster.startWorker('survivor');
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, scoreTask));
  assert.ok(result.stats.attempts > limits.stuckAttempts);
});

test('workers that die before a commit is due make no poison: the next attempt commits its first chunk', async (t) => {
  const never = { LONGHAUL_COMMIT_TOKENS: String(2 ** 30), LONGHAUL_COMMIT_SECONDS: '3600' };
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: { ...never, ...shortLock } });
  t.after(() => cluster.close());
  const text = await bookBytes(50_000);
  const jobId = await cluster.submitText('dying-too-soon', text, scoreTask);
  for (let i = 1; i <= limits.stuckAttempts + 1; i++) {
    const victim = await cluster.startWorker(`victim-${i}`);
    const { position } = await cluster.head(jobId, (head) => head.owner === victim.id);
    const enough = position.tokenOffset + 3 * 2048;
    await cluster.progress(jobId, (progress) => progress.worker === victim.id && progress.tokens >= enough);
    await victim.stop('SIGKILL');
  }
  await cluster.startWorker('survivor');
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, scoreTask));
});
