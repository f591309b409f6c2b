import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JobId, JobSpec } from '@longhaul/core/contracts';
import { connectRedis } from '@longhaul/core/redis';
import { Cluster, models, waitFor } from '../support/cluster.ts';
import { ringWith } from '../support/ring.ts';
import { scoreTask } from '../support/tasks.ts';

const jobCount = 1000;
/** The submitters of the last ones die between the ledger and the queue. */
const rungFor = 900;

/** Bytes that Redis has in use, its own overhead and its clients' included. */
async function redisBytes(url: string): Promise<number> {
  const redis = connectRedis({ url, name: 'test', whileAway: 'fail', onNotice: () => {} });
  const found = /used_memory:(\d+)/.exec(await redis.info('memory'))?.[1];
  redis.disconnect();
  return Number(found);
}

async function sideBySide<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<unknown>): Promise<void> {
  const left = [...items];
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
    }),
  );
}

test('a thousand jobs from zero workers are accepted durably, wait in little memory, and end, each once', async (t) => {
  const cluster = await Cluster.start({
    model: models.induction,
    env: { LONGHAUL_SLOTS: '8', LONGHAUL_LOCK_MS: '30000' },
  });
  t.after(() => cluster.close());
  await cluster.startController('controller', { LONGHAUL_MODELS: 'test' });
  const empty = await redisBytes(cluster.redis.url);
  const jobs: JobId[] = Array.from({ length: jobCount }, (_, i) => `job-${String(i).padStart(4, '0')}`);
  const began = performance.now();
  await sideBySide(jobs, 8, async (jobId) => {
    const spec: JobSpec = {
      ...{ v: 1, jobId, tenant: 'default', createdAt: new Date().toISOString(), model: 'test', task: scoreTask },
      ...{ document: { kind: 'inline', text: `abc#${jobId.replace(/\D/g, '').replaceAll(/\d/g, 'd')}#` } },
      ...{ compression: 'auto', invalidUtf8: 'error', addBos: false, priority: 0, expiresAt: null },
      ...{ from: null, saveAs: null, prefixCache: true, trace: null },
    };
    assert.equal(await cluster.ledger.submit(spec), 'created');
    if (jobs.indexOf(jobId) < rungFor) await cluster.queue.enqueue(jobId, ringWith(0));
  });
  t.diagnostic(`${jobCount} jobs submitted in ${((performance.now() - began) / 1000).toFixed(1)} s`);
  const allWait = async () => ((await cluster.queue.counts()).waiting === jobCount ? true : null);
  await waitFor(allWait, 120_000, () => 'every job to wait in the queue');
  const bytes = ((await redisBytes(cluster.redis.url)) - empty) / jobCount;
  t.diagnostic(`${bytes.toFixed(0)} bytes of Redis memory a queued job`);
  assert.ok(bytes < 20_000, `${bytes} bytes a queued job; the limit is 20000`);

  const started = performance.now();
  await cluster.startWorker('worker');
  const open = async () => {
    for await (const _ of cluster.ledger.listOpen({ limit: 1 })) return null;
    return true;
  };
  await waitFor(open, 540_000, () => 'every job to end');
  t.diagnostic(`${jobCount} jobs done by one worker in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  await sideBySide(jobs, 8, async (jobId) => {
    const result = await cluster.ledger.readResult(jobId);
    assert.deepEqual([result?.status, result?.stats.attempts], ['succeeded', 1], jobId);
    assert.equal((await cluster.ledger.readHead(jobId))?.status, 'done');
  });
  const drained = async () => {
    const { waiting, prioritized, held, orphaned } = await cluster.queue.demand();
    return waiting + prioritized + held + orphaned === 0 ? true : null;
  };
  await waitFor(drained, 20_000, () => 'an empty queue');
});
