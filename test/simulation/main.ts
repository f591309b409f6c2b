// `npm run simulate`: the durability protocol under a seeded scheduler, with faults everywhere.
import { parseArgs } from 'node:util';
import { describeError } from '@longhaul/core/contracts';
import { describeFinding, traceText } from './finding.ts';
import { simulateMany } from './parallel.ts';
import { type Level, levels, simulate } from './simulate.ts';
import { addOutcome, emptyTally, tallyText } from './tally.ts';

const usage = `simulate: the real ledger and the real worker in a simulated world, every rule checked at every step

  npm run simulate -- [--seeds N] [--from S] [--level ledger|worker|all] [--jobs N] [--json]
  npm run simulate -- --seed S [--level ledger|worker|all] [--trace] [--json]

A seed decides all that happens: who runs, what fails, is killed, frozen, cut off or lost. On a broken rule the seed, the
rule and the end of what happened are printed; exit code 1.

  --seeds N   seeds to play, spread over the levels (default 2000)
  --from S    the first of them (default: the time)
  --level L   ledger: workers that overlap as if no queue had a lock, on the ledger alone
              worker: the worker process, its tasks and its lease clock on a simulated queue, store and stream
              all: both (default)
  --jobs N    threads (default 1)
  --findings N  stop after so many broken seeds (default 5)
  --seed S    play one seed; --trace prints all that happened
  --json      one JSON object on stdout

Example:
  npm run simulate -- --seeds 100000 --jobs 2`;

interface Settings {
  readonly levels: readonly Level[];
  readonly json: boolean;
  readonly trace: boolean;
}

function whole(name: string, value: string, least: number): number {
  const number = Number(value);
  if (Number.isSafeInteger(number) && number >= least) return number;
  throw new Error(`--${name} is a whole number from ${least}, found ${value}`);
}

async function playOne(seed: number, { levels: wanted, json, trace }: Settings): Promise<boolean> {
  let held = true;
  const played = [];
  for (const level of wanted) {
    const end = await simulate(level, seed);
    held &&= end.kind === 'held';
    const lines = end.kind === 'held' ? end.outcome.trace : end.finding.trace;
    const { trace: _trace, ...rest } = end.kind === 'held' ? end.outcome : end.finding;
    played.push({ level, kind: end.kind, ...rest, ...(trace && { trace: lines.map(([at, what]) => ({ at, what })) }) });
    if (json) continue;
    if (trace) console.log(traceText(lines));
    if (end.kind === 'held') console.log(`${level} ${seed}: ${tallyText(addOutcome(emptyTally(), end.outcome))}`);
    else console.log(`${level} ${seed}: ${trace ? end.finding.message : describeFinding(end.finding)}`);
  }
  if (json) console.log(JSON.stringify(played, null, 1));
  return held;
}

async function playMany(
  seeds: { readonly from: number; readonly seeds: number; readonly jobs: number; readonly mostFindings: number },
  { levels: wanted, json }: Settings,
): Promise<boolean> {
  const began = performance.now();
  let shownAt = 0;
  process.stderr.write(`seeds ${seeds.from} … on ${wanted.join(' and ')}\n`);
  const { tally, findings } = await simulateMany({
    ...seeds,
    levels: wanted,
    onBatch: (soFar, found) => {
      for (const one of found) process.stderr.write(`\n${describeFinding(one)}\n`);
      const now = performance.now();
      const due = now - shownAt > (process.stderr.isTTY ? 500 : 30_000);
      if (!due && soFar.runs < seeds.seeds) return;
      shownAt = now;
      const rate = soFar.runs / ((now - began) / 1000);
      const left = Math.round((seeds.seeds - soFar.runs) / rate);
      const end = process.stderr.isTTY ? '\r' : '\n';
      process.stderr.write(`${tallyText(soFar)}; ${rate.toFixed(0)} seeds/s, ${Math.max(0, left)} s left${end}`);
    },
  });
  const seconds = (performance.now() - began) / 1000;
  if (json) {
    const found = findings.map(({ trace, ...one }) => ({ ...one, trace: traceText(trace.slice(-60)).split('\n') }));
    console.log(JSON.stringify({ ...seeds, levels: wanted, seconds, tally, findings: found }, null, 1));
  } else console.log(`${tallyText(tally)}; ${seconds.toFixed(0)} s`);
  return findings.length === 0;
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '2000' },
      from: { type: 'string', default: `${Date.now() % 2 ** 31}` },
      seed: { type: 'string' },
      level: { type: 'string', default: 'all' },
      jobs: { type: 'string', default: '1' },
      findings: { type: 'string', default: '5' },
      trace: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    return true;
  }
  const wanted = levels.filter((level) => values.level === 'all' || values.level === level);
  if (wanted.length === 0) throw new Error(`--level is ${levels.join(', ')} or all, found ${values.level}`);
  const settings = { levels: wanted, json: values.json, trace: values.trace };
  if (values.seed !== undefined) return await playOne(whole('seed', values.seed, 0), settings);
  const seeds = {
    from: whole('from', values.from, 0),
    seeds: whole('seeds', values.seeds, 1),
    jobs: whole('jobs', values.jobs, 1),
    mostFindings: whole('findings', values.findings, 1),
  };
  return await playMany(seeds, settings);
}

try {
  if (!(await main())) process.exitCode = 1;
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 2;
}
