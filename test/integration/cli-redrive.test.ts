import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorCode } from '@longhaul/core/contracts';
import { openConsumer, type Settlement } from '@longhaul/core/queue';
import { connectRedis } from '@longhaul/core/redis';
import { Cluster, models } from '../support/cluster.ts';
import { runLonghaul, withoutSettings } from '../support/command-line.ts';
import { scoreTask } from '../support/tasks.ts';

/** The command line of somebody who works with the cluster's store and queue. */
function cli(cluster: Cluster, settings: Readonly<Record<string, string>> = {}) {
  const env = {
    ...withoutSettings(),
    LONGHAUL_STORE: cluster.store.url,
    LONGHAUL_REDIS_URL: cluster.redis.url,
    ...settings,
  };
  return (...args: readonly string[]) => runLonghaul(args, { cwd: cluster.dir, env });
}

async function quarantine(cluster: Cluster, jobId: string, code: ErrorCode): Promise<void> {
  const acquired = await cluster.ledger.acquire(jobId, 'by-hand');
  assert.equal(acquired.kind, 'lease');
  if (acquired.kind !== 'lease') return;
  await acquired.lease.quarantine({ code, message: `made\nup ${'x'.repeat(200)}`, at: '2026-01-01T00:00:00.000Z' });
}

const inline = { kind: 'inline', text: 'abc#abc#' } as const;

test('jobs lists what is open, what is quarantined and why, and everything; as a table and as JSON', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const longhaul = cli(cluster);
  await cluster.submit('job-open', inline, scoreTask);
  await cluster.submit('job-broken', inline, scoreTask);
  await quarantine(cluster, 'job-broken', 'source_changed');

  const open = await longhaul('jobs');
  assert.deepEqual([open.code, open.err], [0, '']);
  assert.match(open.out, /^JOB +STATUS +TASK +PROGRESS +ATTEMPTS +REASON\njob-open +queued +score +0 tokens +0 +-\n$/);
  const quarantined = await longhaul('jobs', 'quarantined');
  assert.match(quarantined.out, /\njob-broken +quarantined +score +0 tokens +1 +source_changed: made up x+…\n$/);
  assert.ok(quarantined.out.split('\n').every((line) => line.length < 160));
  const all = JSON.parse((await longhaul('jobs', 'all', '--json')).out);
  assert.deepEqual(all.jobs.map((job: { jobId: string }) => job.jobId).sort(), ['job-broken', 'job-open']);
  const few = JSON.parse((await longhaul('jobs', 'all', '--json', '--limit', '1')).out);
  assert.equal(few.jobs.length, 1);

  const wrong = await longhaul('jobs', 'broken');
  assert.deepEqual(
    [wrong.code, wrong.err],
    [2, 'longhaul: invalid_argument: jobs takes open, quarantined, all; found "broken"\n'],
  );
  const status = await longhaul('status', 'job-broken');
  assert.match(status.out, /next +mend the cause, then `longhaul redrive job-broken`/);
  const result = await longhaul('result', 'job-broken');
  assert.equal(result.code, 1);
  assert.match(result.err, /next: mend the cause, then `longhaul redrive job-broken`/);
});

test('a job whose objects are damaged hides no other: it is named with the reason, and the list fails', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const longhaul = cli(cluster);
  for (const jobId of ['job-sound', 'job-spoilt']) await cluster.submit(jobId, inline, scoreTask);
  await cluster.store.delete('jobs/job-spoilt/spec.json');
  await cluster.store.putIfAbsent('jobs/job-spoilt/spec.json', new TextEncoder().encode('{"v":1'));
  for (const command of [['jobs'], ['jobs', 'all'], ['status']]) {
    const { code, out, err } = await longhaul(...command);
    assert.equal(code, 1, command.join(' '));
    assert.match(out, /\njob-sound +queued/);
    assert.match(
      err,
      /^job-spoilt cannot be read: object_corrupt: jobs\/job-spoilt\/spec\.json in file:.* is not JSON/,
    );
  }
  const { jobs, unreadable } = JSON.parse((await longhaul('jobs', '--json')).out);
  assert.deepEqual([jobs.length, unreadable[0].jobId, unreadable[0].code], [1, 'job-spoilt', 'object_corrupt']);
});

test('redrive puts back the jobs that are named, or all of one code, and tells each that cannot be', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const longhaul = cli(cluster);
  for (const jobId of [
    'job-source-1',
    'job-source-2',
    'job-model-1',
    'job-named-1',
    'job-cancelled-1',
    'job-waits-1',
  ]) {
    await cluster.submit(jobId, inline, scoreTask);
  }
  for (const jobId of ['job-source-1', 'job-source-2', 'job-named-1'])
    await quarantine(cluster, jobId, 'source_changed');
  await quarantine(cluster, 'job-model-1', 'model_mismatch');
  await cluster.ledger.requestCancel('job-cancelled-1');
  await cluster.ledger.acquire('job-cancelled-1', 'by-hand');

  const named = await longhaul('redrive', 'job-named-1', 'job-waits-1');
  assert.deepEqual([named.code, named.err], [0, '']);
  assert.equal(named.out, 'job-named-1 goes on from its beginning\njob-waits-1 had not ended: it is left as it is\n');
  const byCode = await longhaul('redrive', '--all', '--code', 'source_changed', '--json', '--expires-in', '2h');
  assert.equal(byCode.code, 0, byCode.out);
  const { jobs } = JSON.parse(byCode.out) as { jobs: { jobId: string }[] };
  assert.deepEqual(
    jobs.sort((a, b) => (a.jobId < b.jobId ? -1 : 1)),
    ['job-source-1', 'job-source-2'].map((jobId) => ({
      ...{ jobId, outcome: 'redriven', tokenOffset: 0, queue: 'told', queueError: null },
    })),
  );
  const head = await cluster.ledger.readHead('job-source-1');
  assert.deepEqual([head?.status, head?.generation], ['queued', 1]);
  assert.ok(Math.abs(Date.parse(head!.expiresAt!) - Date.now() - 7_200_000) < 60_000, head!.expiresAt!);
  assert.deepEqual(await cluster.queue.whereabouts(['job-source-1', 'job-named-1']), ['waiting', 'waiting']);

  const some = await longhaul('redrive', 'job-cancelled-1', 'job-model-1', 'job-nowhere-1', '--json');
  assert.equal(some.code, 1);
  const told = JSON.parse(some.out).jobs.map((job: { outcome: string; error?: { code: string } }) => [
    job.outcome,
    job.error?.code ?? null,
  ]);
  assert.deepEqual(told, [
    ['failed', 'job_ended'],
    ['redriven', null],
    ['failed', 'job_not_found'],
  ]);
  const none = await longhaul('redrive', '--all');
  assert.deepEqual([none.code, none.out], [0, '']);
  assert.match(none.err, /^no such quarantined jobs in file:/);
});

test('redrive refuses a command line that does not say which jobs, and stores what it cannot ring', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const longhaul = cli(cluster);
  for (const [args, message] of [
    [[], /name the jobs to redrive, or give --all/],
    [['job-source-1', '--all'], /name the jobs to redrive, or give --all/],
    [['job-source-1', '--code', 'stuck'], /--code goes with --all/],
    [['--all', '--code', 'broken'], /--code takes one of invalid_argument, .*; found "broken"/],
    [['--all', '--expires-in', 'soon'], /--expires-in takes a number with s, m, h or d .*; found "soon"/],
  ] as const) {
    const { code, out, err } = await longhaul('redrive', ...args);
    assert.deepEqual([code, out], [2, ''], args.join(' '));
    assert.match(err, message);
  }
  await cluster.submit('job-unheard', inline, scoreTask);
  await quarantine(cluster, 'job-unheard', 'source_changed');
  await cluster.redis.stop();
  const unheard = await longhaul('redrive', 'job-unheard', '--queue-wait', '0');
  assert.deepEqual([unheard.code, unheard.out], [3, 'job-unheard goes on from its beginning\n']);
  assert.match(unheard.err, /queue_unavailable: .*\njob-unheard starts when the queue is back/);
  assert.equal((await cluster.ledger.readHead('job-unheard'))?.status, 'queued');
});

test('submit --expires-in sets a deadline, which the same submit again does not move; an ended one says so', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const longhaul = cli(cluster);
  const args = ['submit', '--text', 'abc#', '--task', 'score', '--model', 'test', '--idempotency-key', 'k'];
  const first = await longhaul(...args, '--expires-in', '1s');
  assert.equal(first.code, 0, first.err);
  const jobId = first.out.trim();
  const { expiresAt, createdAt } = await cluster.ledger.readSpec(jobId);
  assert.equal(Date.parse(expiresAt!) - Date.parse(createdAt), 1000);
  const again = await longhaul(...args, '--expires-in', '1s');
  assert.deepEqual([again.code, again.out.trim()], [0, jobId]);
  const other = await longhaul(...args, '--expires-in', '2s');
  assert.match(other.err, /job_exists: .* exists with another expiresAt/);
  const wrong = await longhaul(...args, '--expires-in', '0.5s');
  assert.equal(wrong.code, 2);

  await cluster.startController();
  await cluster.result(jobId);
  const status = await longhaul('status', jobId);
  assert.match(status.out, /status +expired \(expired\)/);
  assert.match(status.out, /next +`longhaul redrive j[0-9a-f]{40}` goes on from its checkpoint/);
  const followed = await longhaul('follow', jobId);
  assert.equal(followed.code, 1);
  assert.match(followed.err, /expired: the deadline .* passed with 0 tokens committed/);
  const result = JSON.parse((await longhaul('result', jobId, '--json')).out);
  assert.deepEqual([result.status, result.failure.code], ['expired', 'expired']);
  const redriven = await longhaul('redrive', jobId);
  assert.equal(redriven.out, `${jobId} goes on from its beginning\n`);
});

test('controller --once sweeps once and prints the demand, as a table and as JSON; a wrong setting names itself', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const longhaul = cli(cluster);
  const jobId = await cluster.submit('job-forgotten', inline, scoreTask);
  await cluster.redis.flushAll();
  const { code, out, err } = await longhaul('controller', '--once', '--json');
  assert.equal(code, 0, err);
  const { swept, demand, models: found } = JSON.parse(out);
  assert.deepEqual(swept, { open: 1, rung: 1, ended: 0, removed: 0, failed: 0 });
  assert.equal(demand, 1);
  assert.deepEqual(
    found.map((m: { model: string; prioritized: number }) => [m.model, m.prioritized]),
    [['test', 1]],
  );
  assert.deepEqual(await cluster.queue.whereabouts([jobId]), ['waiting']);
  const table = await longhaul('controller', '--once');
  assert.match(table.out, /^MODEL +DEMAND +WAITING .*\ntest +1 +0 +1 /);
  const wrong = await longhaul('controller', '--never');
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /^longhaul: invalid_argument: unknown option '--never'/);
});

test('controller --once gives the reaper its looks: an orphan is back in the line when it ends', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const jobId = await cluster.submit('job-orphan', inline, scoreTask);
  const [taken, held] = [Promise.withResolvers<void>(), Promise.withResolvers<Settlement>()];
  const consumer = openConsumer({
    ...{ url: cluster.redis.url, model: 'test', concurrency: 1, lockMs: 60_000, stalledMs: 60_000, name: 'here' },
    onNotice: () => {},
    handler: () => {
      taken.resolve();
      return held.promise;
    },
  });
  t.after(async () => {
    held.resolve({ kind: 'abandon' });
    await consumer.close();
  });
  await consumer.start();
  // A consumer that is paused between the lock and its handler hands the job back.
  await taken.promise;
  await consumer.pause();
  const redis = connectRedis({ url: cluster.redis.url, name: 'test', whileAway: 'fail', onNotice: () => {} });
  // What is left behind the death of a worker, once its lock and the last look have run out.
  assert.equal(await redis.del(`{longhaul}:test:${jobId}:lock`), 1);
  await redis.del('{longhaul}:test:stalled-check');
  redis.disconnect();
  assert.deepEqual(await cluster.queue.whereabouts([jobId]), ['orphaned']);
  const { code, out, err } = await cli(cluster, { LONGHAUL_STALLED_MS: '2000' })('controller', '--once', '--json');
  assert.equal(code, 0, err);
  const [{ waiting, orphaned, demand }] = JSON.parse(out).models;
  assert.deepEqual([waiting, orphaned, demand], [1, 0, 1]);
  assert.deepEqual(await cluster.queue.whereabouts([jobId]), ['waiting']);
});
