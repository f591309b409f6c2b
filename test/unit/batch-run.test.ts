import assert from 'node:assert/strict';
import { test } from 'node:test';
import { batchObject, spentDollars } from '@longhaul/core/batches';
import { Hold } from '../../infra/controller/batches/hold.ts';
import { BatchRunners } from '../../infra/controller/batches/runners.ts';
import { askLine, BatchWorld, tenant } from '../support/batch-world.ts';

const lines = (count: number) => Array.from({ length: count }, (_, n) => askLine(n));
const hour = 3_600_000;

test('a batch with wrong lines fails before anything runs, telling each by its number', async () => {
  const world = new BatchWorld();
  const { spec } = await world.create([askLine(0), 'x', askLine(0), askLine(1, { temperature: -1 })]);
  const { head } = await world.finish(spec.id);
  assert.equal(head.status, 'failed');
  const { errors } = batchObject(spec, head);
  assert.deepEqual(
    errors?.data.map(({ line, code }) => [line, code]),
    [
      [2, 'invalid_json_line'],
      [3, 'duplicate_custom_id'],
      [4, 'invalid_body'],
    ],
  );
  assert.deepEqual(world.ran, []);
});

test('a model that is not served fails the batch', async () => {
  const world = new BatchWorld();
  const { spec } = await world.create([askLine(0)], { models: ['other'] });
  assert.equal((await world.finish(spec.id)).head.lineErrors[0]?.code, 'model_not_found');
});

test('what is recorded can be read at every moment, in input order or as it ends', async () => {
  for (const order of ['input', 'completion'] as const) {
    const world = new BatchWorld();
    world.mayEnd = (line) => line !== 1;
    const { spec } = await world.create(lines(4), { order });
    let seen: string[] = [];
    const sleep = world.clock.sleep;
    let turns = 0;
    const clock = {
      ...world.clock,
      sleep: async (ms: number, signal: AbortSignal) => {
        await sleep(ms, signal);
        if (turns++ !== 5) return;
        seen = (await world.partial(spec.id, 'output')).map((line) => line.custom_id);
        world.mayEnd = () => true;
      },
    };
    const { head } = await world.finish(spec.id, { ...world.runner(), clock });
    assert.deepEqual(seen, order === 'input' ? ['q0'] : ['q0', 'q2', 'q3']);
    const whole = (await world.lines(head.outputFileId)).map((line) => line.custom_id);
    assert.deepEqual(whole, order === 'input' ? ['q0', 'q1', 'q2', 'q3'] : ['q0', 'q2', 'q3', 'q1']);
    assert.equal(head.errorFileId, null);
  }
});

test('a deadline keeps what is done and tells of the rest; a resume runs the rest, and no line twice', async () => {
  const world = new BatchWorld();
  world.mayEnd = (line) => line % 2 === 0;
  const { spec } = await world.create(lines(6), { completionWindow: '1h' });
  const runner = world.runner(world.store, 'one', { pollMs: 60_000, leaseMs: 4 * hour, window: 4 });
  const first = await world.finish(spec.id, runner);
  assert.equal(first.head.status, 'expired');
  assert.deepEqual(
    (await world.lines(first.head.outputFileId)).map((line) => line.custom_id),
    ['q0', 'q2', 'q4'],
  );
  assert.deepEqual(
    (await world.lines(first.head.errorFileId)).map((line) => [line.custom_id, line.error.code]),
    ['q1', 'q3', 'q5'].map((name) => [name, 'batch_expired']),
  );
  assert.deepEqual(batchObject(first.spec, first.head).request_counts, { total: 6, completed: 3, failed: 0 });

  world.mayEnd = () => true;
  await world.work();
  await world.batches.resume(tenant, spec.id, { completionWindow: '1h', maxCost: null });
  const second = await world.finish(spec.id, runner);
  assert.equal(second.head.status, 'completed');
  assert.deepEqual(
    (await world.lines(second.head.outputFileId)).map((line) => line.custom_id),
    ['q0', 'q1', 'q2', 'q3', 'q4', 'q5'],
  );
  assert.equal(second.head.errorFileId, null);
  assert.notEqual(second.head.outputFileId, first.head.outputFileId);
  assert.equal(new Set(world.ran).size, world.ran.length, 'a job of a line that was done ran again');
});

test('a cancel stops the jobs in flight, keeps what is done, and tells of the rest', async () => {
  const world = new BatchWorld();
  world.mayEnd = (line) => line === 0 || line === 2;
  const { spec } = await world.create(lines(6));
  const sleep = world.clock.sleep;
  let turns = 0;
  const clock = {
    ...world.clock,
    sleep: async (ms: number, signal: AbortSignal) => {
      await sleep(ms, signal);
      if (turns++ === 3) await world.batches.cancel(tenant, spec.id);
    },
  };
  const { head } = await world.finish(spec.id, { ...world.runner(world.store, 'one', { window: 4 }), clock });
  assert.equal(head.status, 'cancelled');
  assert.deepEqual(
    (await world.lines(head.outputFileId)).map((line) => line.custom_id),
    ['q0', 'q2'],
  );
  assert.deepEqual(
    (await world.lines(head.errorFileId)).map((line) => [line.custom_id, line.error.code]),
    ['q1', 'q3', 'q4', 'q5'].map((name) => [name, 'batch_cancelled']),
  );
  const open: string[] = [];
  for await (const jobId of world.ledger.listOpen({ limit: 10 })) open.push(jobId);
  assert.deepEqual(open, []);
});

test('a paused batch begins nothing, takes what is in flight, and goes on where it was', async () => {
  const world = new BatchWorld();
  const { spec } = await world.create(lines(9));
  const sleep = world.clock.sleep;
  let turns = 0;
  const clock = {
    ...world.clock,
    sleep: async (ms: number, signal: AbortSignal) => {
      if (turns++ === 0) await world.batches.pause(tenant, spec.id);
      await sleep(ms, signal);
    },
  };
  const runner = { ...world.runner(world.store, 'one', { window: 3 }), clock };
  const paused = await world.finish(spec.id, runner);
  assert.deepEqual([paused.head.status, paused.head.pauseReason, paused.head.output.lines], ['paused', 'asked', 3]);
  assert.equal(world.ran.length, 3);
  await world.batches.resume(tenant, spec.id, { completionWindow: null, maxCost: null });
  const { head } = await world.finish(spec.id, runner);
  assert.equal(head.status, 'completed');
  assert.equal((await world.lines(head.outputFileId)).length, 9);
  assert.equal(world.ran.length, 9);
});

test('a failed line stands in the error file with its reason, and the batch completes', async () => {
  const world = new BatchWorld();
  world.fails = (line) => line === 1;
  const { spec } = await world.create(lines(3));
  const { head } = await world.finish(spec.id);
  assert.equal(head.status, 'completed');
  assert.deepEqual(
    (await world.lines(head.errorFileId)).map((line) => [line.custom_id, line.error.code]),
    [['q1', 'source_not_found']],
  );
  assert.deepEqual(batchObject(spec, head).request_counts, { total: 3, completed: 2, failed: 1 });
});

test('a prompt too long for a spec is stored once, under the key of its line', async () => {
  const world = new BatchWorld();
  const { spec } = await world.create([askLine(0, { prompt: 'x'.repeat(70_000) })]);
  const { head } = await world.finish(spec.id);
  assert.equal(head.output.lines, 1);
  assert.equal(world.store.objects.get(`inputs/batches/${spec.id}/0`)?.body.length, 70_000);
});

test('a cost limit pauses the batch when the seconds of its workers reach it, and a higher one lets it go on', async () => {
  const world = new BatchWorld();
  const maxCost = { dollars: 3, dollarsPerHour: 3600 };
  const { spec } = await world.create(lines(12), { maxCost });
  world.busySeconds = 1;
  const runner = world.runner(world.store, 'one', { window: 2 });
  const { head } = await world.finish(spec.id, runner);
  assert.deepEqual([head.status, head.pauseReason], ['paused', 'max_cost']);
  assert.ok(
    spentDollars(head) >= 3 && head.output.lines < 12,
    `${head.output.lines} lines, ${spentDollars(head)} dollars`,
  );
  await world.batches.resume(tenant, spec.id, { completionWindow: null, maxCost: { ...maxCost, dollars: 1000 } });
  assert.equal((await world.finish(spec.id, runner)).head.status, 'completed');
});

test('what keeps a batch from going on is told in it', async () => {
  const world = new BatchWorld();
  const { spec } = await world.create(lines(2), { completionWindow: '1h' });
  await world.files.delete(tenant, spec.inputFileId);
  const stop = new AbortController();
  const clock = { ...world.clock, sleep: async () => stop.abort(new Error('enough')) };
  const runners = new BatchRunners({ ...world.runner(), clock });
  await runners.round(stop.signal);
  await runners.settled();
  const { head } = await world.batches.get(tenant, spec.id);
  assert.equal(head.trouble?.code, 'file_not_found');
});

test('a controller runs what nobody runs, leaves what another one holds, and forgets what has ended', async () => {
  const world = new BatchWorld();
  const { spec } = await world.create(lines(2));
  const signal = new AbortController().signal;
  const runners = new BatchRunners(world.runner());
  assert.ok(await Hold.take(world.runner(world.store, 'two'), spec));
  assert.equal(await runners.round(signal), 0);
  world.ms += 5000;
  assert.equal(await runners.round(signal), 1);
  await runners.settled();
  assert.equal((await world.batches.get(tenant, spec.id)).head.status, 'completed');
  assert.equal(await runners.round(signal), 0);
  assert.deepEqual(
    [...world.store.objects.keys()].filter((key) => key.startsWith('index/batches/')),
    [],
  );
});
