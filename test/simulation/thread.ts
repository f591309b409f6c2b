import { parentPort } from 'node:worker_threads';
import type { Batch, BatchDone } from './parallel.ts';
import { type Finding, simulate } from './simulate.ts';
import { addOutcome, emptyTally } from './tally.ts';

/** Plays the batches that it is sent. */
parentPort!.on('message', async ({ level, from, count }: Batch) => {
  let tally = emptyTally();
  const findings: Finding[] = [];
  for (let seed = from; seed < from + count; seed++) {
    const end = await simulate(level, seed);
    tally = addOutcome(tally, end.kind === 'held' ? end.outcome : null);
    if (end.kind === 'broken') findings.push(end.finding);
  }
  parentPort!.postMessage({ level, tally, findings } satisfies BatchDone);
});
