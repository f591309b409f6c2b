// How much a step may hold, learned from the steps that ran.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pace } from '../../worker/scheduler/pace.ts';

const pace = () => new Pace({ targetMs: 40, first: 16, least: 8, most: 1000 });

/** Steps that hold what is allowed, at `cost`, and their times. */
function steps(of: Pace, count: number, cost: (work: number) => number): number[] {
  return Array.from({ length: count }, () => {
    const { work } = of;
    of.learn(work, cost(work));
    return cost(work);
  });
}

test('it arrives at the target from a small start within a few steps and never goes over it', () => {
  for (const cost of [(n: number) => 0.1 * n, (n: number) => 20 + 0.2 * n, (n: number) => Math.max(30, 0.5 * n)]) {
    const times = steps(pace(), 12, cost);
    assert.ok(Math.max(...times) <= 40 + 1e-9, `${times}`);
    assert.ok(times.at(-1)! > 36, `${times}`);
  }
});

test('a step that took long is followed by one that fits, and the next is as large as before', () => {
  const one = pace();
  steps(one, 12, (n) => 0.2 * n);
  const before = one.work;
  one.learn(before, 3 * 40);
  assert.ok(one.work <= before / 3 + 1e-9);
  steps(one, 2, (n) => 0.2 * n);
  assert.ok(one.work > 0.95 * before, `${one.work} of ${before}`);
});

test('a step smaller than allowed says nothing against large ones; slow ones of any size do', () => {
  const one = pace();
  steps(one, 12, (n) => 20 + 0.2 * n);
  const before = one.work;
  one.learn(1, 20.2);
  assert.equal(one.work, before);
  one.learn(1, 50);
  assert.equal(one.work, 8, 'never below the least');
});

test('a clock that stands still does no harm', () => {
  const one = pace();
  steps(one, 10, () => 0);
  assert.equal(one.work, 1000);
});
