import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFleet, type WorkerSign } from '@longhaul/core/fleet';
import { connectRedis } from '@longhaul/core/redis';
import { readScalingRecord, swapScalingRecord } from '@longhaul/core/scaling';
import { Cluster, models, waitFor } from '../support/cluster.ts';
import { runLonghaul, withoutSettings } from '../support/command-line.ts';
import { startTestRedis } from '../support/redis.ts';

const sign: WorkerSign = {
  ...{ id: 'one', name: 'worker-b', model: 'test', modelDigest: 'd', engine: 'cpu/3/bf16/f32', chat: false },
  ...{ slots: 4, jobs: 1, status: 'serving', startedAt: new Date(0).toISOString() },
};

test('workers are seen while they live, by name, and what no version writes is left out', async (t) => {
  const redis = await startTestRedis();
  const fleet = openFleet({ url: redis.url, onNotice: () => {} });
  const raw = connectRedis({ url: redis.url, name: 'test', whileAway: 'fail', onNotice: () => {} });
  t.after(async () => {
    await fleet.close();
    raw.disconnect();
    await redis.close();
  });
  assert.deepEqual(await fleet.workers(), []);
  await fleet.post(sign);
  await fleet.post({ ...sign, id: 'two', name: 'worker-a' });
  await fleet.post({ ...sign, jobs: 2 });
  const seen = async () => (await fleet.workers()).map(({ id, jobs }) => [id, jobs]);
  assert.deepEqual(await seen(), [
    ['two', 1],
    ['one', 2],
  ]);
  await raw.hset('{longhaul}:fleet:signs', 'two', '{"id":"two"}');
  assert.deepEqual(await seen(), [['one', 2]]);
  // Heard of too long ago: not seen, and forgotten when another one posts.
  await raw.zadd('{longhaul}:fleet:seen', 1, 'one');
  assert.deepEqual(await seen(), []);
  await fleet.post({ ...sign, id: 'three' });
  assert.equal(await raw.hexists('{longhaul}:fleet:signs', 'one'), 0);
  await fleet.leave('three');
  assert.deepEqual(await seen(), []);
  await assert.rejects(fleet.post({ ...sign, slots: -1 }), /slots/);
});

test('an idle worker shows itself, and is gone when it drains', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish });
  t.after(() => cluster.close());
  const worker = await cluster.startWorker('idle-one');
  const env = {
    ...withoutSettings(),
    LONGHAUL_REDIS_URL: cluster.redis.url,
    LONGHAUL_STORE: 'file:///nowhere/longhaul',
  };
  const ask = async () => {
    const { code, out, err } = await runLonghaul(['workers', '--json'], { cwd: '/', env });
    assert.equal(code, 0, err);
    return (JSON.parse(out) as { workers: WorkerSign[] }).workers;
  };
  const [seen] = await waitFor(
    async () => {
      const workers = await ask();
      return workers.length > 0 ? workers : null;
    },
    60_000,
    () => 'the worker to show itself',
  );
  assert.equal(seen?.name, 'idle-one');
  assert.equal(seen?.model, 'test');
  assert.equal(seen?.chat, true);
  assert.equal(seen?.status, 'serving');
  assert.equal(seen?.jobs, 0);
  await worker.stop();
  assert.deepEqual(await ask(), []);
});

test('a worker that a controller started and that is not heard of yet is shown, with what is in its way', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish });
  t.after(() => cluster.close());
  const parts = { store: cluster.store, clock: () => new Date() };
  const held = await readScalingRecord(parts);
  const startedAt = Date.now() - 90_000;
  const worker = { model: 'test', market: 'spot' as const, startedAt, countedUntil: startedAt, served: false };
  await swapScalingRecord(parts, held, {
    ...held.record,
    workers: {
      'arn:aws:ecs:eu-central-1:111122223333:task/fleet/4f3c': { ...worker, state: 'running', why: null },
      'longhaul-worker-1': { ...worker, state: 'starting', why: 'Unschedulable: 0/3 nodes are available' },
    },
  });
  const env = cluster.commandEnv;
  const { out } = await runLonghaul(['workers'], { cwd: '/', env });
  assert.match(out, /^4f3c +test +starting +1m 3\ds$/m);
  assert.match(out, /^longhaul-worker-1 +test +waits for a place: Unschedulable: 0\/3 nodes are available +1m 3\ds$/m);
  const json = JSON.parse((await runLonghaul(['workers', '--json'], { cwd: '/', env })).out);
  assert.deepEqual(
    json.coming.map((one: { name: string; placed: boolean }) => [one.name, one.placed]),
    [
      ['4f3c', true],
      ['longhaul-worker-1', false],
    ],
  );
});
