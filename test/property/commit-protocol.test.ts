import '../simulation/synchronous-zstd.ts';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Defect, defects } from '../simulation/defects.ts';
import { describeFinding } from '../simulation/finding.ts';
import type { Outcome } from '../simulation/outcome.ts';
import { type Level, simulate } from '../simulation/simulate.ts';

/** `npm run simulate -- --seed N --level L --trace` replays one of these. */
const first = Math.floor(Math.random() * 2 ** 31);
const seeds: Readonly<Record<Level, number>> = { ledger: 1200, worker: 0 };
const seedsToSeeADefect = 400;

async function outcomes(level: Level): Promise<Outcome[]> {
  const ends: Outcome[] = [];
  for (let seed = first; seed < first + seeds[level]; seed++) {
    const end = await simulate(level, seed);
    assert.ok(end.kind === 'held', end.kind === 'held' ? '' : describeFinding(end.finding));
    ends.push(end.outcome);
  }
  return ends;
}

function figures(ends: readonly Outcome[]) {
  const sum = (of: (end: Outcome) => number) => ends.reduce((total, end) => total + of(end), 0);
  const count = (status: Outcome['status']) => ends.filter((end) => end.status === status).length;
  return {
    runs: ends.length,
    done: count('done'),
    cancelled: count('cancelled'),
    quarantined: count('quarantined'),
    faults: sum((end) => end.faults),
    takeovers: sum((end) => end.takeovers),
    fenced: sum((end) => end.fenced),
    steps: sum((end) => end.steps),
    virtualSeconds: Math.round(sum((end) => end.virtualSeconds)),
  };
}

test('ledger: whatever fails, overlaps or comes back, every rule of the protocol holds', async (t) => {
  const found = figures(await outcomes('ledger'));
  t.diagnostic(`seeds from ${first}: ${JSON.stringify(found)}`);
  // A simulation in which nothing goes wrong, or nothing gets done, proves nothing.
  assert.ok(found.done > found.runs / 2 && found.takeovers > found.runs / 2 && found.fenced > found.runs / 10);
});

test('a seed plays the same twice', async () => {
  for (const level of ['ledger'] as const) {
    for (let seed = first; seed < first + 20; seed++) {
      const [one, other] = [await simulate(level, seed), await simulate(level, seed)];
      assert.deepEqual(one, other, `${level} ${seed}`);
    }
  }
});

test('each built-in defect is seen, by a rule that speaks of it', async (t) => {
  for (const [name, { level, rules }] of Object.entries(defects)) {
    let seen: string | null = null;
    let tried = 0;
    for (; seen === null && tried < seedsToSeeADefect; tried++) {
      const end = await simulate(level, first + tried, name as Defect);
      if (end.kind === 'held') continue;
      seen = end.finding.rule;
      assert.ok((rules as readonly (string | null)[]).includes(seen), `${name}: ${describeFinding(end.finding)}`);
    }
    assert.notEqual(seen, null, `${name} was not seen in ${tried} seeds from ${first}`);
    t.diagnostic(`${name}: ${seen} after ${tried} seeds`);
  }
});
