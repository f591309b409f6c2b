import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Simulation, type SimulationEnd } from '../support/commit-simulation.ts';

/** LONGHAUL_SEED=n replays one simulation and prints what happened; LONGHAUL_SEEDS=n runs that many. */
const { LONGHAUL_SEED: replay, LONGHAUL_SEEDS: wanted } = process.env;
const first = replay === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(replay);
const seeds = replay === undefined ? Number(wanted ?? 300) : 1;
const deadlineMs = wanted === undefined ? 15_000 : Number.POSITIVE_INFINITY;

test('whatever fails, overlaps or comes back, commits stay in order and the output is the golden one', async (t) => {
  t.diagnostic(`seeds ${first} … ${first + seeds - 1}; LONGHAUL_SEED=<n> replays one`);
  const ends: SimulationEnd[] = [];
  const started = performance.now();
  for (let seed = first; seed < first + seeds && performance.now() - started < deadlineMs; seed++) {
    const simulation = new Simulation({ seed });
    try {
      ends.push(await simulation.run());
    } catch (cause) {
      const trace = simulation.trace.slice(-80).join('\n');
      throw new Error(`LONGHAUL_SEED=${seed}: ${(cause as Error).message}\n${trace}`, { cause });
    }
    if (replay !== undefined) for (const line of simulation.trace) t.diagnostic(line);
  }
  const count = (test: (end: SimulationEnd) => boolean) => ends.filter(test).length;
  const sum = (of: (end: SimulationEnd) => number) => ends.reduce((total, end) => total + of(end), 0);
  t.diagnostic(
    `${ends.length} runs: ${count((end) => end.status === 'done')} done, ${count((end) => end.status === 'cancelled')} cancelled, ` +
      `${count((end) => end.status === 'quarantined')} stuck; ${sum((end) => end.faults)} faults, ` +
      `${sum((end) => end.takeovers)} takeovers, ${sum((end) => end.fenced)} fenced workers, ${sum((end) => end.steps)} steps`,
  );
  if (replay !== undefined) return;
  // A simulation in which nothing goes wrong, or nothing gets done, proves nothing.
  assert.ok(ends.length >= Math.min(seeds, 50));
  assert.ok(count((end) => end.status === 'done') > ends.length / 2);
  assert.ok(sum((end) => end.takeovers) > ends.length / 2 && sum((end) => end.fenced) > ends.length / 10);
});

test('the checker sees a store that ignores conditions', async (t) => {
  t.diagnostic(`seeds from ${first}`);
  let seen = 0;
  for (let seed = first; seed < first + 40; seed++) {
    await new Simulation({ seed, unsafe: true }).run().catch(() => {
      seen += 1;
    });
  }
  assert.ok(seen >= 10, `${seen} of 40 unsafe runs were caught`);
});
