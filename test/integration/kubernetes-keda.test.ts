import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import {
  type JobQueue,
  openConsumer,
  openQueue,
  openReaper,
  type QueueCensus,
  type Settlement,
} from '@longhaul/core/queue';
import { connectRedis } from '@longhaul/core/redis';
import { z } from 'zod';
import { demandOf } from '../../infra/controller/demand.ts';
import { render } from '../../scripts/kubernetes/kustomize.ts';
import { waitFor } from '../support/cluster.ts';
import { jobsCreated, readTriggers } from '../support/keda.ts';
import { startTestRedis, type TestRedis } from '../support/redis.ts';

const overlay = path.resolve(import.meta.dirname, '../../infra/kubernetes/overlays/eks-keda');

const ScaledJob = z.looseObject({
  kind: z.literal('ScaledJob'),
  spec: z.looseObject({
    maxReplicaCount: z.number(),
    triggers: z.array(
      z.looseObject({ metadata: z.looseObject({ listName: z.string(), listLength: z.coerce.number() }) }),
    ),
  }),
});

const manifests = await render(overlay);
const { spec } = ScaledJob.parse(manifests.find(({ kind }) => kind === 'ScaledJob'));
const triggers = spec.triggers.map(({ metadata }) => metadata);
/** The model that the overlay's workers serve, as its keys say. */
const model = triggers[0]!.listName.split(':')[1]!;

let redis: TestRedis;

before(async () => {
  redis = await startTestRedis();
});

after(async () => {
  await redis.close();
});

const raw = () => connectRedis({ url: redis.url, name: 'test', whileAway: 'fail', onNotice: () => {} });

test('the triggers together count what the controller counts, wherever jobs wait', async (t) => {
  const queue: JobQueue & QueueCensus = openQueue({ url: redis.url, model, onNotice: () => {} });
  t.after(() => queue.close());
  const keda = raw();
  t.after(() => keda.disconnect());

  /** Both counts at one moment: nothing moved between them, nor is on its way out of the line (the next test). */
  const atRest = async () => {
    const places = async () => [
      await keda.zcard(`{longhaul}:${model}:fair:leaving`),
      ...(await readTriggers(keda, triggers)),
    ];
    const [leaving, ...lengths] = await places();
    const demand = await queue.demand();
    return leaving === 0 && isDeepStrictEqual([leaving, ...lengths], await places()) ? { lengths, demand } : null;
  };

  /** KEDA's sum beside our demand. KEDA sees neither orphans nor when a delay ends. */
  const counted = async () => {
    const { lengths, demand } = await waitFor(atRest, 10_000, () => 'the queue to be at rest');
    const sum = lengths.reduce((all, one) => all + one, 0);
    assert.equal(sum, demandOf(demand) - demand.orphaned + demand.delayedLater, JSON.stringify({ lengths, demand }));
    const by = Object.fromEntries(
      triggers.map(({ listName }, i) => [listName.split(':').slice(2).join(':'), lengths[i]]),
    );
    return { by, sum, demand, lengths };
  };

  assert.deepEqual((await counted()).by, { wait: 0, prioritized: 0, delayed: 0, 'fair:jobs': 0 });

  // Thirty jobs of three tenants, with priorities: one stands where workers look, the others in the line.
  const jobs = Array.from({ length: 30 }, (_, i) => `job-${String(i).padStart(4, '0')}`);
  for (const [i, jobId] of jobs.entries()) {
    await queue.enqueue(jobId, { priority: i % 10, tenant: `tenant-${i % 3}`, seconds: 1 + i });
  }
  const queued = await counted();
  assert.deepEqual(queued.by, { wait: 0, prioritized: 1, delayed: 0, 'fair:jobs': 29 });
  assert.equal(demandOf(queued.demand), 30);

  // A worker takes six: three stay in hand, one is done, one fails and comes again, and with the last it hands back it stops taking.
  const inHand = Promise.withResolvers<Settlement>();
  const ends: Settlement[] = [
    { kind: 'done', seconds: 1 },
    { kind: 'retry', delayMs: 30_000, reason: 'the store is away' },
    { kind: 'hand-back' },
  ];
  const taken: string[] = [];
  const consumer = openConsumer({
    ...{ url: redis.url, model, concurrency: 4, lockMs: 60_000, stalledMs: 60_000, name: 'worker', onNotice: () => {} },
    handler: async ({ jobId }) => {
      taken.push(jobId);
      return taken.length <= 3 ? await inHand.promise : (ends[taken.length - 4] ?? (await inHand.promise));
    },
  });
  await consumer.start();
  t.after(async () => {
    inHand.resolve({ kind: 'abandon' });
    await consumer.close();
  });
  const settled = async () => {
    const { held, delayedDue } = await queue.demand();
    return taken.length >= 6 && held === taken.length - ends.length && delayedDue === 1 ? true : null;
  };
  await waitFor(settled, 10_000, () => `the jobs to be in their places (${taken.length} taken)`);
  const working = await counted();
  assert.equal(working.by['delayed'], 1);
  assert.ok(working.demand.held >= 3, 'what workers have is no demand');
  assert.equal(working.sum + working.demand.held + 1, 30, 'every job but the one that is done is counted once');

  // A worker is lost with a job in hand. The controller sees an orphan, and brings it back to where KEDA sees it.
  await keda.del(`{longhaul}:${model}:${taken[0]}:lock`, `{longhaul}:${model}:stalled-check`);
  const lost = await counted();
  assert.equal(lost.demand.orphaned, 1);
  assert.equal(demandOf(lost.demand), lost.sum + 1);
  const reaped: string[] = [];
  const reaper = openReaper({
    ...{ url: redis.url, model, stalledMs: 250, onNotice: () => {} },
    onReaped: (jobId) => void reaped.push(jobId),
  });
  t.after(() => reaper.close());
  await waitFor(
    async () => (reaped.length > 0 ? true : null),
    10_000,
    () => 'the orphan to be brought back',
  );
  const back = await counted();
  assert.deepEqual(reaped, [taken[0]]);
  assert.equal(back.by['wait'], 1);
  assert.equal(demandOf(back.demand), back.sum);
});

test('a job on its way out of the line counts twice for KEDA, at most for that moment', async (t) => {
  const other = triggers.map(({ listName, ...rest }) => ({ ...rest, listName: listName.replace(model, 'leaving') }));
  const queue = openQueue({ url: redis.url, model: 'leaving', onNotice: () => {} });
  t.after(() => queue.close());
  const keda = raw();
  t.after(() => keda.disconnect());
  await queue.enqueue('job-leaving', { priority: 0, tenant: 'default', seconds: 1 });
  // As it is left by a process that died between the two writes.
  await keda.hset('{longhaul}:leaving:fair:jobs', 'job-leaving', '{"tenant":"default","seconds":1,"priority":0}');
  await keda.zadd('{longhaul}:leaving:fair:leaving', Date.now() - 60_000, 'job-leaving');
  const sum = async () => (await readTriggers(keda, other)).reduce((all, one) => all + one, 0);
  assert.equal(await sum(), 2);
  assert.equal(demandOf(await queue.demand()), 1);
  // The next one who enqueues or takes sets it right.
  await queue.enqueue('job-leaving', { priority: 0, tenant: 'default', seconds: 1 });
  await waitFor(
    async () => ((await sum()) === 1 ? true : null),
    10_000,
    () => 'one job to be counted once',
  );
});

test('workers are started for slots that are wanting, and not again while they load', () => {
  const slots = triggers[0]!.listLength;
  const at = (lengths: readonly number[], running: number, pending: number) =>
    jobsCreated({ lengths, triggers, maxReplicas: spec.maxReplicaCount, running, pending });
  // wait, prioritized, delayed, line
  assert.equal(at([0, 0, 0, 0], 0, 0), 0, 'nothing waits: nothing is started, and nothing runs');
  assert.equal(at([0, 1, 0, 0], 0, 0), 1);
  assert.equal(at([1, 1, 1, 1], 0, 0), Math.ceil(4 / slots), 'places are summed before they are rounded');
  assert.equal(at([0, 1, 0, 2 * slots - 1], 0, 0), 2);
  assert.equal(
    at([0, 1, 0, 2 * slots - 1], 2, 2),
    0,
    'two that are not ready yet are the ones that were started for them',
  );
  assert.equal(at([0, 1, 0, slots - 1], 2, 0), 1, 'busy ones have their jobs out of the line');
  assert.equal(at([0, 1, 0, 1000], 0, 0), spec.maxReplicaCount);
});

test("KEDA's own user of Redis counts, and reads or changes nothing", async (t) => {
  const admin = raw();
  t.after(() => admin.disconnect());
  const rights = '+ping +hello +client|setname +type +llen +zcard +scard +hlen +eval';
  await admin.call('ACL', 'SETUSER', 'keda', 'on', '>keda-password', '~{longhaul}:*', '-@all', ...rights.split(' '));
  const url = new URL(redis.url);
  url.username = 'keda';
  url.password = 'keda-password';
  const keda = connectRedis({ url: url.href, name: 'keda', whileAway: 'fail', onNotice: () => {} });
  keda.options.enableReadyCheck = false;
  t.after(() => keda.disconnect());
  await admin.hset('{longhaul}:acl:fair:jobs', 'a', 'secret');
  const length = (listName: string) => readTriggers(keda, [{ listName, listLength: 1 }]);
  assert.deepEqual(await length('{longhaul}:acl:fair:jobs'), [1]);
  for (const place of ['wait', 'prioritized', 'delayed'])
    assert.deepEqual(await length(`{longhaul}:acl:${place}`), [0]);
  await assert.rejects(keda.hgetall('{longhaul}:acl:fair:jobs'), /NOPERM/);
  await assert.rejects(keda.del('{longhaul}:acl:fair:jobs'), /NOPERM/);
  await assert.rejects(
    keda.eval("return redis.call('HGETALL', KEYS[1])", 1, '{longhaul}:acl:fair:jobs'),
    /NOPERM|run this command/,
  );
  await assert.rejects(length('somebody:else'), /NOPERM|permission/);
});
