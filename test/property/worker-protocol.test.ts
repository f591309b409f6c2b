import '../simulation/synchronous-zstd.ts';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { play } from '../simulation/play.ts';
import { tallyText } from '../simulation/tally.ts';

/** `npm run simulate -- --seed N --level worker --trace` replays one of these. */
const first = Math.floor(Math.random() * 2 ** 31);
const seeds = 1000;

test('workers as production runs them keep every rule, whoever is killed, frozen, cut off or forgotten', async (t) => {
  const found = await play('worker', first, seeds);
  t.diagnostic(`seeds from ${first}: ${tallyText(found)}`);
  assert.ok(found.done > found.runs / 2 && found.takeovers > found.runs / 4 && found.faults > 5 * found.runs);
});
