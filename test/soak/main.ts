// `npm run soak`: real workers, a real Redis and a store that speaks S3, under a seeded schedule of faults.
import { parseArgs } from 'node:util';
import { describeError } from '@longhaul/core/contracts';
import { markdown } from './report.ts';
import { conclude, soak } from './soak.ts';

const usage = `soak: workers killed, frozen and cut off, Redis and the store broken in every way, every promise checked

  npm run soak -- [--faults N] [--minutes M] [--seed S] [--workers W] [--store s3|file] [--json]

Ends when N faults have bitten or M minutes have passed, then lets the jobs in flight end and prints one table. Exits
with 1 on any duplicate, loss, zombie commit, wrong byte, quarantined job or worker that ended by itself, and says where
the logs are. The schedule follows from the seed; what it meets depends on the machine.

  --faults N     spread over the minutes (default 10000)
  --minutes M    default 45
  --seed S       default: the time
  --workers W    at least 2: some serve the induction model, some tiny-english (default 4)
  --store KIND   s3 (default): also store faults and the history of every head; file: a folder
  --json         one JSON object on stdout in place of the table

Example:
  npm run soak -- --faults 500 --minutes 3 --seed 7`;

function whole(name: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new Error(`--${name} is a whole number from ${least}, found ${text}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      faults: { type: 'string', default: '10000' },
      minutes: { type: 'string', default: '45' },
      seed: { type: 'string', default: `${Date.now() % 2 ** 31}` },
      workers: { type: 'string', default: '4' },
      store: { type: 'string', default: 's3' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(usage);
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new Error(`--minutes is a number above 0, found ${values.minutes}`);
  if (values.store !== 's3' && values.store !== 'file') throw new Error(`--store is s3 or file, found ${values.store}`);
  for (const name of Object.keys(process.env)) {
    if (name.startsWith('LONGHAUL_') && name !== 'LONGHAUL_REDIS_SERVER') delete process.env[name];
  }
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort(new Error(signal)));
  const outcome = await soak({
    seed: whole('seed', values.seed, 0),
    faults: whole('faults', values.faults, 1),
    minutes,
    workers: whole('workers', values.workers, 2),
    store: values.store,
    corpus: 'whole',
    say: (line) => void process.stderr.write(`${line}\n`),
    signal: stop.signal,
  });
  await conclude(outcome);
  const { report } = outcome;
  console.log(values.json ? JSON.stringify(report) : markdown(report));
  if (!outcome.failed) return;
  for (const { kind, jobId, text } of report.violations) console.error(`violation: ${kind}: ${jobId}: ${text}`);
  for (const text of report.quarantined) console.error(`quarantined: ${text}`);
  for (const text of report.crashes) console.error(`ended by itself: ${text}`);
  for (const text of report.unfinished) console.error(`did not end: ${text}`);
  console.error(`seed ${report.seed}; logs and report: ${outcome.evidence}`);
  process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 1;
}
