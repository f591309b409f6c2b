import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type JobId, limits } from '@longhaul/core/contracts';
import { Cluster, models } from '../support/cluster.ts';
import { assertCommittedWork, assertRefused, committing, runUntil } from './committed-work.ts';
import { assertSame, bookBytes, generateTask, scoreTask, truth } from './shared.ts';

const env = {
  ...committing,
  // A dead worker is found within seconds, and a live one on a machine with much to do keeps its lock.
  LONGHAUL_LOCK_MS: '4000',
  LONGHAUL_STALLED_MS: '500',
  // Chunks of seconds, so that a worker can be killed within its first.
  LONGHAUL_CHUNK_TOKENS: '65536',
};

/** Takes the job and dies of it within the first chunk, so often as makes it poison. */
async function killEachTaker(cluster: Cluster, jobId: JobId): Promise<void> {
  for (let i = 1; i <= limits.stuckAttempts; i++) {
    const victim = await cluster.startWorker(`victim-${i}`);
    const taken = await cluster.head(jobId, (head) => head.owner === victim.id);
    assert.equal(taken.stuckAttempts, i);
    await victim.stop('SIGKILL');
  }
}

test('a job that kills each of its workers is quarantined as stuck; the queue goes on', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env });
  t.after(() => cluster.close());
  const poison = await cluster.submitText('poison-job', await bookBytes(300_000), scoreTask);
  await killEachTaker(cluster, poison);
  const text = await bookBytes(10_000);
  const task = generateTask(20, 0);
  const healthy = await cluster.submitText('healthy-job', text, task);
  const survivor = await cluster.startWorker('survivor');
  const { failure, stats, checkpoint } = await assertRefused(cluster, poison, 'stuck');
  assert.match(failure!.message, /3 attempts in a row ended without a commit after seq 0, token 0; the limit is 3/);
  assert.equal(stats.attempts, limits.stuckAttempts);
  assert.equal(checkpoint, null);
  await assertSame(
    cluster,
    healthy,
    await cluster.result(healthy),
    await truth(cluster, models.tinyEnglish, text, task),
  );
  assert.ok(survivor.alive);
});

test('a job that was getting on before it became poison keeps its checkpoint and output', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env });
  t.after(() => cluster.close());
  const poison = await cluster.submitText('late-poison', await bookBytes(300_000), scoreTask);
  const committed = await runUntil(cluster, poison, 8192, 'SIGTERM');
  await killEachTaker(cluster, poison);
  await cluster.startWorker('survivor');
  const { failure, stats } = await assertRefused(cluster, poison, 'stuck');
  assert.match(failure!.message, new RegExp(`without a commit after seq \\d+, token ${committed}; the limit is 3`));
  assert.equal(stats.attempts, 1 + limits.stuckAttempts);
  await assertCommittedWork(cluster, poison, committed);
});
