import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type Batch, type BatchRequest, batchHasEnded } from '@longhaul/core/batches';
import type { ObjectStore } from '@longhaul/core/ledger';
import { runBatch } from '../../infra/controller/batches/run-batch.ts';
import { askLine, BatchWorld, dyingStore, Killed, tenant } from '../support/batch-world.ts';

const lineCount = 9;
const lines = Array.from({ length: lineCount }, (_, n) => askLine(n));
const names = lines.map((_, n) => `q${n}`);
const isBad = (line: number) => line % 7 === 3;

/** A worker that ends jobs out of order, the same way each time. */
function world(): BatchWorld {
  const made = new BatchWorld();
  let calls = 0;
  made.mayEnd = (line) => (line * 7919 + calls++) % 3 === 0;
  made.fails = isBad;
  return made;
}

/** Every line is in one of the two files, once, with its own answer. */
async function checkWhole(world: BatchWorld, { spec, head }: Batch): Promise<void> {
  assert.equal(head.status, 'completed');
  const [output, errors] = [await world.lines(head.outputFileId), await world.lines(head.errorFileId)];
  const seen = [...output, ...errors].map((line) => line.custom_id);
  assert.deepEqual([...seen].sort(), [...names].sort());
  for (const line of output)
    assert.equal(line.response.body.choices[0]!.text, `p${line.custom_id.slice(1)} -> ${line.custom_id.slice(1)}`);
  for (const line of errors) assert.equal(line.error.code, 'source_not_found');
  assert.deepEqual(head.ended, { completed: output.length, failed: errors.length });
  assert.equal(errors.length, names.filter((_, n) => isBad(n)).length);
  assert.equal(head.usage.outputTokens, 2 * output.length);
  if (spec.order !== 'input') return;
  for (const file of [output, errors]) {
    const order = file.map((line) => Number(line.custom_id.slice(1)));
    assert.deepEqual(
      order,
      [...order].sort((a, b) => a - b),
    );
  }
}

async function killedAt(call: number, effect: 'before' | 'behind', change: Partial<BatchRequest>): Promise<number> {
  const made = world();
  const { spec } = await made.create(lines, change);
  const stop = new AbortController();
  const store = dyingStore(made.store, call, effect);
  const calm = made.clock.sleep;
  const clock = {
    ...made.clock,
    sleep: async (ms: number, signal: AbortSignal) => {
      if (store.calls >= call) stop.abort(new Killed('dead'));
      await calm(ms, signal);
    },
  };
  await runBatch({ ...made.runner(store), clock }, spec, stop.signal).catch((error: unknown) => {
    if (!(error instanceof Killed)) throw error;
  });
  made.ms += 10_000;
  await checkWhole(made, await made.finish(spec.id, made.runner(made.store, 'two')));
  return store.calls;
}

for (const order of ['input', 'completion'] as const) {
  for (const effect of ['before', 'behind'] as const) {
    test(`a runner killed at any call, ${effect} its effect: every line is there once (${order} order)`, async () => {
      let call = 1;
      while ((await killedAt(call, effect, { order })) >= call) call += 1;
      assert.ok(call > 50, `a run of ${lineCount} lines makes only ${call} calls`);
    });
  }
}

for (const seed of [1, 2, 3, 4, 5, 6]) {
  const order = seed % 2 === 0 ? 'input' : 'completion';
  test(`runners that take the batch from each other record no line twice (${order} order, seed ${seed})`, async () => {
    const made = world();
    const { spec } = await made.create(lines, { order });
    const random = lcg(seed);
    const signal = new AbortController().signal;
    let taken = 0;
    const ended = async () => batchHasEnded((await made.batches.get(tenant, spec.id)).head.status);
    const lane = async (name: string) => {
      const parts = made.runner(slowStore(made.store, random), name, { leaseMs: 0, window: 3 });
      while (!(await ended())) {
        taken += 1;
        await runBatch(parts, spec, signal);
        for (let wait = random(40); wait > 0; wait--) await turn();
      }
    };
    await Promise.all(['one', 'two', 'three'].map(lane));
    assert.ok(taken > 3, `the batch changed hands ${taken} times`);
    await checkWhole(made, await made.batches.get(tenant, spec.id));
  });
}

/** Each call takes a few turns of the event loop, so that processes get in between each other. */
function slowStore(store: ObjectStore, random: (below: number) => number): ObjectStore {
  return new Proxy(store, {
    get(target, name: keyof ObjectStore) {
      const value = target[name];
      if (typeof value !== 'function' || name === 'list')
        return typeof value === 'function' ? value.bind(target) : value;
      return async (...args: unknown[]) => {
        for (let wait = random(4); wait > 0; wait--) await turn();
        return await (value as (...all: unknown[]) => unknown).apply(target, args);
      };
    },
  });
}

/** Numbers below a bound, the same ones for the same seed. */
function lcg(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
