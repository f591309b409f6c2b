import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JobId, Task } from '@longhaul/core/contracts';
import { Cluster, models } from '../support/cluster.ts';
import { assertCommittedWork, committing } from './committed-work.ts';
import { bookBytes, generateTask, scoreTask } from './shared.ts';

/** As `longhaul cancel` does. */
async function cancel(cluster: Cluster, jobId: JobId): Promise<void> {
  await cluster.ledger.requestCancel(jobId);
  await cluster.live.signalCancel(jobId);
}

const cases: readonly { readonly name: JobId; readonly bytes: number; readonly task: Task }[] = [
  { name: 'cancel-score', bytes: 1_000_000, task: scoreTask },
  { name: 'cancel-generate', bytes: 10_000, task: generateTask(500_000, 0) },
];

for (const { name, bytes, task } of cases) {
  test(`a running ${task.kind} job is cancelled within seconds; committed work stays, the worker takes the next`, async (t) => {
    const cluster = await Cluster.start({
      model: models.tinyEnglish,
      env: { ...committing, LONGHAUL_COMMIT_SECONDS: '0.3' },
    });
    t.after(() => cluster.close());
    const jobId = await cluster.submitText(name, await bookBytes(bytes), task);
    const worker = await cluster.startWorker('only');
    const before = await cluster.head(jobId, (head) => head.seq >= 2 && head.position.outputCount > 0);
    const asked = performance.now();
    await cancel(cluster, jobId);
    const result = await cluster.result(jobId);
    t.diagnostic(`cancelled after ${(performance.now() - asked).toFixed(0)} ms`);
    assert.equal(result.status, 'cancelled');
    assert.equal(result.finishReason, 'cancelled');
    assert.equal(result.failure, null);
    const head = await cluster.head(jobId, () => true);
    assert.equal(head.status, 'cancelled');
    assert.deepEqual(result.checkpoint, head.checkpoint);
    assert.ok(head.position.outputCount >= before.position.outputCount);
    await assertCommittedWork(cluster, jobId, before.position.tokenOffset);

    const next = await cluster.submit('next-job', { kind: 'inline', text: 'Call me' }, generateTask(5, 0));
    assert.equal((await cluster.result(next)).status, 'succeeded');
    assert.ok(worker.alive);
  });
}

test('a job cancelled before any worker takes it never runs', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish });
  t.after(() => cluster.close());
  const jobId = await cluster.submitText('cancel-early', await bookBytes(50_000), scoreTask);
  await cancel(cluster, jobId);
  const worker = await cluster.startWorker('only');
  const result = await cluster.result(jobId);
  assert.equal(result.status, 'cancelled');
  assert.deepEqual([result.stats.attempts, result.usage.inputTokens, result.checkpoint], [0, 0, null]);
  assert.ok(!worker.lines.some((line) => line.includes('job taken')), 'it was taken');
});

test('a job cancelled while its worker is dead ends at the next one, with what was committed', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: committing });
  t.after(() => cluster.close());
  const jobId = await cluster.submitText('cancel-orphan', await bookBytes(200_000), scoreTask);
  const victim = await cluster.startWorker('victim');
  await cluster.head(jobId, (head) => head.seq >= 1);
  await victim.stop('SIGKILL');
  await cancel(cluster, jobId);
  await cluster.startWorker('heir');
  const result = await cluster.result(jobId);
  assert.equal(result.status, 'cancelled');
  assert.equal(result.stats.attempts, 1);
  await assertCommittedWork(cluster, jobId, 8192);
});
