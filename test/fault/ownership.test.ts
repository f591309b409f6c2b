import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Cluster, models, type WorkerProcess } from '../support/cluster.ts';
import { behindProxy } from './behind-proxy.ts';
import { letters } from './committed-work.ts';
import { onS3 } from './on-s3.ts';
import { assertSame, scoreTask, truth } from './shared.ts';

const preload = (module: string, env: Record<string, string>) => ({
  NODE_OPTIONS: `--import=${new URL(`../support/${module}`, import.meta.url).href}`,
  ...env,
});

/** The induction model, whose documents read some ten times faster than English. */
async function clusterFor(t: TestContext, env: Record<string, string> = {}): Promise<Cluster> {
  const cluster = await Cluster.start({ model: models.induction, env });
  t.after(() => cluster.close());
  return cluster;
}

const said = (worker: WorkerProcess, text: string) => worker.lines.filter((line) => line.includes(text)).length;

/** The job has ended with the bytes of an uninterrupted run, and whoever lost it did not take it back meanwhile. */
async function assertEnded(cluster: Cluster, jobId: string, text: Buffer): Promise<void> {
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.induction, text, scoreTask));
}

for (const way of ['up', 'down'] as const) {
  test(`cut off from Redis ${way === 'up' ? 'so that nothing reaches it' : 'so that no answer comes'}: the worker lets go by its own clock`, async (t) => {
    const { cluster, proxy } = await behindProxy(t, models.induction);
    const text = letters(900_000);
    const jobId = await cluster.submitText(`one-way-${way}`, text, scoreTask);
    const cut = await cluster.startWorker('cut-off');
    await cluster.head(jobId, (h) => h.seq >= 1);
    proxy.freeze(way);
    const ended = cut.says('attempt ended: abandon');
    await cluster.startWorker('heir', { LONGHAUL_REDIS_URL: cluster.redis.url });
    assert.match(await ended, /lease_lost/);
    await cluster.head(jobId, (h) => h.owner === 'heir' || h.status === 'done');
    await assertEnded(cluster, jobId, text);
  });
}

test('an event loop that stands still for twice the lock: another ends the job, the blocked one writes nothing more', async (t) => {
  const cluster = await clusterFor(t);
  const text = letters(900_000);
  const jobId = await cluster.submitText('loop-blocked', text, scoreTask);
  const blocked = await cluster.startWorker('blocked', preload('block-loop.mjs', { LONGHAUL_TEST_BLOCK_MS: '4000' }));
  await cluster.head(jobId, (h) => h.seq >= 1);
  // Ready before the other stands still, which would take the job back itself.
  await cluster.startWorker('heir');
  blocked.signal('SIGUSR2');
  const taken = await cluster.head(jobId, (h) => h.owner === 'heir');
  assert.match(await blocked.says('attempt ended: abandon'), /lease_lost|fenced/);
  await assertEnded(cluster, jobId, text);
  assert.equal((await cluster.head(jobId, () => true)).epoch, taken.epoch, 'the blocked worker took the job back');
});

test('Redis comes back without its data: the job in hand is made known again at once, with no sweep', async (t) => {
  const cluster = await clusterFor(t);
  const text = letters(900_000);
  const jobId = await cluster.submitText('redis-emptied', text, scoreTask);
  const worker = await cluster.startWorker('only');
  await cluster.head(jobId, (h) => h.seq >= 1);
  await cluster.redis.restartEmpty();
  await worker.says('job made known to the queue again');
  await cluster.head(jobId, (h) => h.epoch === 2);
  await assertEnded(cluster, jobId, text);
  assert.equal(said(worker, 'job made known to the queue again'), 1);
});

test('two workers of one name: each epoch has one writer all the same', async (t) => {
  const cluster = await clusterFor(t);
  const text = letters(900_000);
  const jobId = await cluster.submitText('one-name', text, scoreTask);
  const first = await cluster.startWorker('twin');
  await cluster.head(jobId, (h) => h.seq >= 1);
  first.signal('SIGSTOP');
  const second = await cluster.startWorker('twin');
  const taken = await cluster.head(jobId, (h) => h.epoch === 2);
  assert.equal(taken.owner, 'twin');
  first.signal('SIGCONT');
  await first.says('attempt ended: abandon');
  await assertEnded(cluster, jobId, text);
  assert.equal((await cluster.head(jobId, () => true)).epoch, 2);
  assert.equal(said(second, 'attempt ended'), 0);
});

test('workers whose clocks are an hour off, either way: no lease is lost, and the bytes are the same', async (t) => {
  const cluster = await clusterFor(t, { LONGHAUL_LOCK_MS: '15000' });
  const text = letters(500_000);
  const jobId = await cluster.submitText('clocks-off', text, scoreTask);
  const clock = (hours: number) => preload('shift-clock.mjs', { LONGHAUL_TEST_CLOCK_MS: String(hours * 3_600_000) });
  const ahead = await cluster.startWorker('ahead', clock(1));
  await cluster.head(jobId, (h) => h.seq >= 1);
  await ahead.stop('SIGTERM');
  assert.equal(ahead.child.exitCode, 0);
  const behind = await cluster.startWorker('behind', clock(-1));
  await assertEnded(cluster, jobId, text);
  for (const worker of [ahead, behind]) assert.equal(said(worker, 'attempt ended'), 0, worker.lines.join('\n'));
  assert.equal((await cluster.head(jobId, () => true)).stats.attempts, 2);
});

test('a source that gives nothing for too long: committed, handed back, and the worker ends as untrusted', async (t) => {
  const { s3, cluster } = await onS3(t, models.induction, { LONGHAUL_COMMIT_SECONDS: '3600' });
  const text = letters(600_000);
  const document = { method: 'GET', keyIncludes: 'inputs/', skip: 1 } as const;
  s3.faults.add({ match: { ...document, times: 1 }, action: 'truncate-body' });
  s3.faults.add({ match: document, action: 'stall' });
  const jobId = await cluster.submitText('source-hung', text, scoreTask);
  const worker = await cluster.startWorker('waiting', { LONGHAUL_HUNG_SECONDS: '4' });
  const reason = await worker.says('attempt ended: fatal');
  assert.match(reason, /nothing came of the source for 4 s, at token [1-9]/);
  const head = await cluster.head(jobId, (h) => h.status === 'queued' && h.seq >= 1);
  assert.equal(head.stuckAttempts, 0);
  await worker.says('"stopped"');
  await worker.stop('SIGCONT');
  assert.notEqual(worker.child.exitCode, 0);
  s3.faults.clear();
  await cluster.startWorker('second');
  await assertEnded(cluster, jobId, text);
});
