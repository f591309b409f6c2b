import assert from 'node:assert/strict';
import { describeFinding } from './finding.ts';
import { type Level, simulate } from './simulate.ts';
import { addOutcome, emptyTally, type Tally } from './tally.ts';

/** Plays consecutive seeds for a test: throws, with its trace, at the first that breaks a rule. */
export async function play(level: Level, first: number, seeds: number): Promise<Tally> {
  let tally = emptyTally();
  for (let seed = first; seed < first + seeds; seed++) {
    const end = await simulate(level, seed);
    assert.ok(end.kind === 'held', end.kind === 'held' ? '' : describeFinding(end.finding));
    tally = addOutcome(tally, end.outcome);
  }
  return tally;
}
