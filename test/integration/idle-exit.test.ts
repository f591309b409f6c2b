import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { letters } from '../fault/committed-work.ts';
import { Cluster, models, type WorkerProcess, waitFor } from '../support/cluster.ts';
import { scoreTask } from '../support/tasks.ts';

const idleSeconds = 1.5;
const idle = { LONGHAUL_IDLE_EXIT_SECONDS: String(idleSeconds) };

async function exitCode(worker: WorkerProcess): Promise<number | null> {
  await worker.says('"stopped"');
  while (worker.alive) await sleep(20);
  return worker.child.exitCode;
}

test('a worker without a job ends by itself with 0; one with a job in hand does not, however long that takes', async (t) => {
  const cluster = await Cluster.start({ model: models.induction, env: { LONGHAUL_LOCK_MS: '15000' } });
  t.after(() => cluster.close());
  const bored = await cluster.startWorker('bored', idle);
  assert.equal(await exitCode(bored), 0);
  await bored.says(`idle for ${idleSeconds} s`);

  const jobId = await cluster.submitText('job-longer-than-that', letters(1_000_000), scoreTask);
  // It has its job before three seconds are over, also where the machine is busy.
  const busySeconds = 3;
  const busy = await cluster.startWorker('busy', { LONGHAUL_IDLE_EXIT_SECONDS: String(busySeconds) });
  const began = performance.now();
  const result = await cluster.result(jobId);
  t.diagnostic(`the job took ${(performance.now() - began).toFixed(0)} ms, the limit is ${1000 * busySeconds} ms`);
  assert.equal(result.status, 'succeeded');
  assert.deepEqual([result.stats.attempts, result.stats.recomputedTokens], [1, 0]);
  assert.equal(await exitCode(busy), 0);
});

test('a worker that had to wait for Redis has the whole time from when it takes jobs', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  cluster.redis.pause();
  const worker = cluster.launchWorker('waited', idle);
  await worker.says('"model loaded"');
  await sleep(600 * idleSeconds);
  cluster.redis.resume();
  const at = async (text: string) => Date.parse((JSON.parse(await worker.says(text)) as { time: string }).time);
  const [ready, left] = [await at('"ready"'), await at('"draining"')];
  assert.ok(left - ready >= 1000 * idleSeconds - 50, `it left ${left - ready} ms after it was ready`);
});

test('jobs that come in the moment that a worker leaves are done by it, or wait for the next one: none is lost', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const jobs: string[] = [];
  for (let round = 0; round < 3; round++) {
    const worker = await cluster.startWorker(`leaving-${round}`, idle);
    await sleep(1000 * idleSeconds - 60);
    for (let i = 0; worker.alive && i < 40; i++) {
      jobs.push(await cluster.submit(`job-late-${round}-${i}`, { kind: 'inline', text: 'abcabc#' }, scoreTask));
      // The first job keeps it: one a round comes early enough, the others when it has begun to leave.
      await sleep(i === 0 ? 1000 * idleSeconds - 20 + 7 * round : 5);
    }
    assert.equal(await exitCode(worker), 0);
  }
  await cluster.startWorker('last');
  for (const jobId of jobs) assert.equal((await cluster.result(jobId)).status, 'succeeded');
  // The queue hears of a job's end a moment behind the ledger.
  await waitFor(
    async () => {
      const { waiting, active, delayed } = await cluster.queue.counts();
      return waiting + active + delayed === 0 ? true : null;
    },
    30_000,
    () => 'the queue to be empty',
  );
});
