import assert from 'node:assert/strict';
import { test } from 'node:test';
import { batchKeys, sweepBatches } from '@longhaul/core/batches';
import { askLine, BatchWorld, dyingStore, Killed, tenant } from '../support/batch-world.ts';

const lines = (count: number) => Array.from({ length: count }, (_, n) => askLine(n));
const dayMs = 86_400_000;

async function partsOf(world: BatchWorld, id: string): Promise<number> {
  let count = 0;
  for await (const { key } of world.store.list(batchKeys.parts)) if (key.includes(id)) count += 1;
  return count;
}

async function outputOf(world: BatchWorld, id: string): Promise<string> {
  return (await world.partial(id, 'output')).map((line) => line.custom_id).join();
}

test('the parts of a batch go so many days behind its end, and its output is read from its file', async () => {
  const world = new BatchWorld();
  const { spec } = await world.create(lines(3));
  assert.equal((await world.finish(spec.id)).head.status, 'completed');
  const now = (days: number) => () => new Date(world.ms + days * dayMs);
  assert.equal(await sweepBatches(world.store, { jobDays: null, now: now(9999) }), 0);
  assert.equal(await sweepBatches(world.store, { jobDays: 7, now: now(6.9) }), 0);
  assert.ok((await partsOf(world, spec.id)) > 0);
  assert.ok((await sweepBatches(world.store, { jobDays: 7, now: now(7.1) })) > 0);
  assert.equal(await partsOf(world, spec.id), 0);
  assert.equal(await outputOf(world, spec.id), 'q0,q1,q2');
});

test('a batch that may go on keeps its parts: one that runs, one that expired; one whose head is damaged, too', async () => {
  const world = new BatchWorld();
  world.mayEnd = (line) => line === 0;
  const { spec } = await world.create(lines(2), { completionWindow: '1h' });
  const { head } = await world.finish(
    spec.id,
    world.runner(world.store, 'one', { pollMs: 60_000, leaseMs: 4 * dayMs }),
  );
  assert.equal(head.status, 'expired');
  const before = await partsOf(world, spec.id);
  assert.ok(before > 0);
  const now = () => new Date(world.ms + 9999 * dayMs);
  assert.equal(await sweepBatches(world.store, { jobDays: 1, now }), 0);

  world.mayEnd = () => true;
  await world.batches.resume(tenant, spec.id, { completionWindow: '1h', maxCost: null });
  assert.equal(await sweepBatches(world.store, { jobDays: 1, now }), 0);
  assert.equal((await world.finish(spec.id)).head.status, 'completed');
  assert.equal(await outputOf(world, spec.id), 'q0,q1');

  const key = batchKeys.head(tenant, spec.id);
  const whole = (await world.store.get(key, { maxBytes: 1e6 }))!;
  await world.store.putIfMatch(key, new TextEncoder().encode('{}'), whole.etag);
  const told: string[] = [];
  const onDamaged = (id: string, error: Error) => void told.push(`${id} ${error.message}`);
  assert.equal(await sweepBatches(world.store, { jobDays: 1, now, onDamaged }), 0);
  assert.match(told.join(), new RegExp(`^${spec.id} .*head\\.json`));
});

test('a sweep that is killed at any of its calls leaves the output whole, and the next one ends it', async () => {
  for (let at = 1, over = false; !over; at++) {
    for (const effect of ['before', 'behind'] as const) {
      const world = new BatchWorld();
      world.fails = (line) => line === 1;
      const { spec } = await world.create(lines(3));
      assert.equal((await world.finish(spec.id)).head.status, 'completed');
      const options = { jobDays: 1, now: () => new Date(world.ms + 2 * dayMs) };
      over = await sweepBatches(dyingStore(world.store, at, effect), options).then(
        () => true,
        (error: unknown) => {
          assert.ok(error instanceof Killed);
          return false;
        },
      );
      assert.equal(await outputOf(world, spec.id), 'q0,q2');
      await sweepBatches(world.store, options);
      assert.equal(await partsOf(world, spec.id), 0);
      assert.equal(await outputOf(world, spec.id), 'q0,q2');
    }
    assert.ok(at < 20, 'it ends');
    if (over) assert.ok(at > 3, `only ${at} calls`);
  }
});
