import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Session, StepItem, StepResult } from '@longhaul/native';
import { Scheduler } from '../../worker/scheduler/scheduler.ts';

const nothing = { kind: 'nothing' } as const;
const session = (name: string) => ({ name }) as unknown as Session;
const nameOf = (item: StepItem) => (item.session as unknown as { name: string }).name;

class FakeModel {
  readonly batches: string[][] = [];
  readonly refuse: string | null;
  constructor(refuse: string | null = null) {
    this.refuse = refuse;
  }
  async step(items: readonly StepItem[]): Promise<StepResult[]> {
    this.batches.push(items.map((item) => `${nameOf(item)}:${item.tokens.length}`));
    await new Promise((resolve) => setTimeout(resolve, 2));
    if (items.some((item) => nameOf(item) === this.refuse)) throw new Error(`${this.refuse} refused`);
    return items.map(() => nothing);
  }
}

test('decode goes before prefill, and prefill is kept within the token budget', async () => {
  const model = new FakeModel();
  const scheduler = new Scheduler(model, 10);
  await Promise.all([
    scheduler.step(session('long'), new Int32Array(8), nothing, 'prefill'),
    scheduler.step(session('other'), new Int32Array(8), nothing, 'prefill'),
    scheduler.step(session('short'), new Int32Array(1), nothing, 'decode'),
  ]);
  assert.deepEqual(model.batches, [['short:1', 'long:8'], ['other:8']]);
});

test('an item larger than the budget runs alone rather than never', async () => {
  const model = new FakeModel();
  const scheduler = new Scheduler(model, 4);
  await scheduler.step(session('big'), new Int32Array(9), nothing, 'prefill');
  assert.deepEqual(model.batches, [['big:9']]);
});

test('a chunk larger than the budget runs beside decode that never pauses', async () => {
  const model = new FakeModel();
  const scheduler = new Scheduler(model, 4);
  let read = false;
  const writing = (async () => {
    for (let i = 0; i < 20 && !read; i++) await scheduler.step(session('short'), new Int32Array(1), nothing, 'decode');
  })();
  await scheduler.step(session('big'), new Int32Array(9), nothing, 'prefill');
  read = true;
  await writing;
  assert.ok(model.batches.length < 4, `read after ${model.batches.length} steps`);
});

test('a refused item rejects alone; the others of its batch get their results', async () => {
  const scheduler = new Scheduler(new FakeModel('bad'), 100);
  const ends = await Promise.allSettled([
    scheduler.step(session('good'), new Int32Array(2), nothing, 'prefill'),
    scheduler.step(session('bad'), new Int32Array(2), nothing, 'prefill'),
  ]);
  assert.deepEqual(
    ends.map((end) => end.status),
    ['fulfilled', 'rejected'],
  );
});
