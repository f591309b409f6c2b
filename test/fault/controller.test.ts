import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type JobId, limits } from '@longhaul/core/contracts';
import { createLedger } from '@longhaul/core/ledger';
import { Cluster, models, waitFor } from '../support/cluster.ts';
import { ringWith } from '../support/ring.ts';
import { assertCommittedWork, assertRefused, committing, letters, runUntil } from './committed-work.ts';
import { assertSame, bookBytes, scoreTask, truth } from './shared.ts';

/** Demand as the controller sees it, and as a scaler would. */
async function demandIs(cluster: Cluster, waiting: number, timeoutMs = 20_000): Promise<void> {
  const ask = async () => {
    const found = await cluster.queue.demand();
    return found.waiting + found.prioritized === waiting && found.orphaned === 0 ? true : null;
  };
  await waitFor(ask, timeoutMs, () => `${waiting} waiting jobs`);
}

test('the last worker is killed with a job in hand: it waits again with no worker left, and a later one ends it', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const text = letters(400_000);
  const jobId = await cluster.submitText('job-orphan', text, scoreTask);
  const controller = await cluster.startController();
  const doomed = await cluster.startWorker('doomed');
  await cluster.head(jobId, (head) => head.position.tokenOffset > 0);
  await doomed.stop('SIGKILL');
  const began = performance.now();
  await demandIs(cluster, 1);
  t.diagnostic(`demand again after ${(performance.now() - began).toFixed(0)} ms: lock 2000 ms, looks every 500 ms`);
  await controller.says('came back from a lost worker');
  await cluster.startWorker('later');
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.induction, text, scoreTask));
  assert.equal(result.stats.attempts, 2, 'nobody but the two workers took the job');
});

test('a job that killed each of its workers is ended without a worker, with its reason and its checkpoint', async (t) => {
  const env = { ...committing, LONGHAUL_LOCK_MS: '1000', LONGHAUL_STALLED_MS: '250' };
  const cluster = await Cluster.start({ model: models.tinyEnglish, env });
  t.after(() => cluster.close());
  const poison = await cluster.submitText('poison-job', await bookBytes(300_000), scoreTask);
  const committed = await runUntil(cluster, poison, 8192, 'SIGTERM');
  const controller = await cluster.startController();
  for (let i = 1; i <= limits.stuckAttempts; i++) {
    const victim = await cluster.startWorker(`victim-${i}`, { LONGHAUL_COMMIT_TOKENS: String(2 ** 31) });
    await cluster.head(poison, (head) => head.owner === victim.id);
    await victim.stop('SIGKILL');
  }
  const { failure, stats } = await assertRefused(cluster, poison, 'stuck');
  assert.match(failure!.message, new RegExp(`without a commit after seq \\d+, token ${committed}; the limit is 3`));
  assert.equal(stats.attempts, 1 + limits.stuckAttempts, 'no worker was needed to end it');
  await assertCommittedWork(cluster, poison, committed);
  await demandIs(cluster, 0);
  assert.ok(controller.alive);
});

test('Redis loses everything, twice, with jobs waiting and in hand: all of them end, the same as without', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const text = letters(200_000);
  const jobs: JobId[] = [];
  for (let i = 1; i <= 4; i++) jobs.push(await cluster.submitText(`job-wiped-${i}`, text, scoreTask));
  await cluster.startController();
  await cluster.startWorker('worker');
  await cluster.head(jobs[0]!, (head) => head.status === 'running');
  await cluster.redis.flushAll();
  await cluster.head(jobs[2]!, (head) => head.status !== 'queued', 120_000);
  await cluster.redis.restartEmpty();
  const expected = await truth(cluster, models.induction, text, scoreTask);
  for (const jobId of jobs) await assertSame(cluster, jobId, await cluster.result(jobId, 240_000), expected);
  await demandIs(cluster, 0);
});

test('two controllers, each killed and started again and again beside workers: no owner loses its job to them', async (t) => {
  // The controllers' comings and goings make a busy machine stall: that must not cost the worker its lock.
  const cluster = await Cluster.start({ model: models.induction, env: { LONGHAUL_LOCK_MS: '15000' } });
  t.after(() => cluster.close());
  const text = letters(200_000);
  await cluster.startWorker('worker');
  const pace = { LONGHAUL_SWEEP_SECONDS: '0.1', LONGHAUL_STALLED_MS: '250' };
  await cluster.startController('steady', pace);
  const jobs: JobId[] = [];
  for (let i = 1; i <= 3; i++) jobs.push(await cluster.submitText(`job-watched-${i}`, text, scoreTask));
  let ended = false;
  const all = Promise.all(jobs.map((jobId) => cluster.result(jobId, 240_000))).finally(() => {
    ended = true;
  });
  for (let i = 1; !ended; i++) {
    // Anywhere from its start to its second sweep.
    const controller = cluster.launchController(`killed-${i}`, pace);
    await new Promise((resolve) => setTimeout(resolve, (i * 377) % 2500));
    await controller.stop('SIGKILL');
  }
  const expected = await truth(cluster, models.induction, text, scoreTask);
  for (const [i, result] of (await all).entries()) {
    await assertSame(cluster, jobs[i]!, result, expected);
    assert.equal(result.stats.attempts, 1);
    assert.equal(result.stats.recomputedTokens, 0);
  }
});

test('a message whose job has ended in the ledger leaves the line; one of a job that is not there stays', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const jobId = await cluster.submit('job-cancelled', { kind: 'inline', text: 'abc#' }, scoreTask);
  await cluster.ledger.requestCancel(jobId);
  await cluster.queue.enqueue('job-of-another-ledger', ringWith(0));
  // The sender of a cancel died before it told anybody: the first round of a controller looks for such marks.
  await cluster.startController();
  await cluster.head(jobId, (head) => head.status === 'cancelled');
  await demandIs(cluster, 1);
  await cluster.queue.enqueue(jobId, ringWith(0));
  await demandIs(cluster, 1);
  assert.deepEqual(await cluster.queue.whereabouts([jobId, 'job-of-another-ledger']), ['absent', 'waiting']);
});

test('a job that expires while it waits, and one that expires in hand, end as expired with what they committed', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish });
  t.after(() => cluster.close());
  await cluster.startController();
  const soon = (ms: number) => ({ expiresAt: new Date(Date.now() + ms).toISOString() });
  const waits = await cluster.submit('job-waits-long', { kind: 'inline', text: 'once' }, scoreTask, soon(500));
  const ended = await cluster.result(waits);
  assert.deepEqual([ended.status, ended.failure?.code, ended.stats.attempts], ['expired', 'expired', 0]);
  await demandIs(cluster, 0);

  const text = await bookBytes(2_000_000);
  const { source } = await cluster.ledger.putInput(
    (async function* () {
      yield text;
    })(),
  );
  await cluster.startWorker('worker');
  const runs = await cluster.submit('job-runs-long', source, scoreTask, soon(6000));
  const result = await cluster.result(runs, 120_000);
  assert.equal(result.status, 'expired');
  await assertCommittedWork(cluster, runs);
});

test('a controller drains at once when asked, and says so', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const controller = await cluster.startController();
  assert.ok((await controller.stop('SIGTERM')) < 5000);
  assert.equal(controller.child.exitCode, 0);
  await controller.says('"draining"');
  await controller.says('"stopped"');
});

test('a controller ends with the process that started it, also while Redis is away', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const controller = await cluster.startController('orphan', { LONGHAUL_MODELS: 'test' });
  await cluster.redis.stop();
  await controller.says('is out of reach');
  controller.child.stdin!.end();
  const ended = async () => (controller.alive ? null : true);
  await waitFor(ended, 30_000, () => 'the controller to end');
});

test('the controller collects garbage by its retention: a job that ended long ago goes, a late one stays', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const daysAgo = (days: number) => () => new Date(Date.now() - days * 86_400_000);
  for (const [jobId, days] of [
    ['job-of-long-ago', 10],
    ['job-of-late', 1],
  ] as const) {
    await cluster.submit(jobId, { kind: 'inline', text: 'abc#' }, scoreTask);
    const then = createLedger(cluster.store, { clock: daysAgo(days) });
    const acquired = await then.acquire(jobId, 'by-hand');
    if (acquired.kind === 'lease') await acquired.lease.cancel();
  }
  const controller = await cluster.startController('controller', {
    LONGHAUL_GARBAGE_HOURS: '0.0002',
    LONGHAUL_KEEP_JOB_DAYS: '7',
  });
  await controller.says('"garbage collected"');
  const gone = async () => ((await cluster.ledger.readHead('job-of-long-ago')) === null ? true : null);
  await waitFor(gone, 60_000, () => 'the job of long ago to go');
  assert.equal((await cluster.ledger.readHead('job-of-late'))?.status, 'cancelled');
});
