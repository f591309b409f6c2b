import '../simulation/synchronous-zstd.ts';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Defect, defects } from '../simulation/defects.ts';
import { describeFinding } from '../simulation/finding.ts';
import { play } from '../simulation/play.ts';
import { levels, simulate } from '../simulation/simulate.ts';
import { tallyText } from '../simulation/tally.ts';

/** `npm run simulate -- --seed N --level L --trace` replays one of these. */
const first = Math.floor(Math.random() * 2 ** 31);
const seeds = 1000;
const seedsToSeeADefect = 1000;

test('on the ledger alone, whatever fails, overlaps or comes back, every rule of the protocol holds', async (t) => {
  const found = await play('ledger', first, seeds);
  t.diagnostic(`seeds from ${first}: ${tallyText(found)}`);
  // A simulation in which nothing goes wrong, or nothing gets done, proves nothing.
  assert.ok(found.done > found.runs / 2 && found.takeovers > found.runs / 2 && found.fenced > found.runs / 10);
});

test('a seed plays the same twice', async () => {
  for (const level of levels) {
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
