import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { describeError, type JobId } from '@longhaul/core/contracts';
import { mobyDick } from '../../scripts/demo/book.ts';
import { Cluster, models, type WorkerProcess, waitFor } from '../support/cluster.ts';
import { scoreTask } from '../support/tasks.ts';

const usage = `bench:drain: how long a worker takes from SIGTERM to its jobs handed back, and to its own end

  npm run bench:drain -- [--count N] [--slots N] [--chunk N] [--seed N] [--json]

Workers read documents of a real book with the small English model, each drained by SIGTERM at a random moment under
load; the next one goes on with what it handed back, until its own turn. Redis, the store (files) and the workers are on
this machine. Exit code 1 when a token was read twice, a job was handed back without being committed, the flush missed
p50 < 1 s or p99 < 5 s, or a worker ended with anything but 0.

  --count N   drains (default 20)
  --slots N   jobs in hand of each worker (default 1)
  --chunk N   tokens a chunk (default 2048): a drain ends the running chunk first
  --seed N    of the random moments (default 1)
  --json      one JSON object on stdout

Example:
  npm run bench:drain -- --count 50`;

const limits = { p50Ms: 1000, p99Ms: 5000 };
/** Longest time that a worker reads before its drain. */
const mostReadMs = 3000;

interface Drain {
  readonly handedBackMs: number;
  readonly exitMs: number;
  readonly exitCode: number | null;
}

interface Options {
  readonly count: number;
  readonly slots: number;
  readonly chunk: number;
  readonly seed: number;
}

/** Numbers in [0, 1) from a seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

async function drainOnce(cluster: Cluster, worker: WorkerProcess, jobs: readonly JobId[], readMs: number) {
  for (const job of jobs) await cluster.progress(job, (p) => p.worker === worker.id, 120_000);
  await delay(readMs);
  const began = performance.now();
  worker.signal('SIGTERM');
  const handedBack = waitFor(
    async () => (worker.lines.filter((line) => line.includes('job handed back')).length === jobs.length ? true : null),
    120_000,
    () => `worker ${worker.id} to hand back ${jobs.length} jobs; it said:\n${worker.lines.slice(-8).join('\n')}`,
  ).then(() => performance.now() - began);
  await worker.stop('SIGCONT');
  const exitMs = performance.now() - began;
  return { handedBackMs: await handedBack, exitMs, exitCode: worker.child.exitCode } satisfies Drain;
}

async function measure({ count, slots, chunk, seed }: Options) {
  const random = randomFrom(seed);
  const cluster = await Cluster.start({
    model: models.tinyEnglish,
    env: {
      LONGHAUL_SLOTS: String(slots),
      LONGHAUL_CHUNK_TOKENS: String(chunk),
      LONGHAUL_COMMIT_SECONDS: '3600',
      LONGHAUL_COMMIT_TOKENS: String(2 ** 30),
      LONGHAUL_LOCK_MS: '30000',
    },
  });
  try {
    const book = await mobyDick();
    const jobs: JobId[] = [];
    for (let i = 0; i < slots; i++) jobs.push(await cluster.submitText(`bench-drain-${i}`, book, scoreTask));
    const drains: Drain[] = [];
    for (let i = 0; i < count; i++) {
      const worker = await cluster.startWorker(`worker-${i}`);
      drains.push(await drainOnce(cluster, worker, jobs, random() * mostReadMs));
    }
    let recomputedTokens = 0;
    let attempts = 0;
    for (const job of jobs) {
      const head = await cluster.head(job, () => true);
      recomputedTokens += head.stats.recomputedTokens;
      attempts += head.stats.attempts;
      if (head.status !== 'queued') throw new Error(`job ${job} is ${head.status}: the book is too short for ${count}`);
    }
    return { drains, recomputedTokens, attempts, expectedAttempts: count * jobs.length };
  } finally {
    await cluster.close();
  }
}

/** The smallest value that is at least as large as the share `q` of them. */
function quantile(values: readonly number[], q: number): number {
  return values.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(q * values.length) - 1)]!;
}

function spread(values: readonly number[]) {
  return { p50Ms: quantile(values, 0.5), p99Ms: quantile(values, 0.99), maxMs: Math.max(...values) };
}

function whole(name: string, text: string, least = 1): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new Error(`--${name} is a whole number from ${least}, found ${text}`);
}

async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      count: { type: 'string', default: '20' },
      slots: { type: 'string', default: '1' },
      chunk: { type: 'string', default: '2048' },
      seed: { type: 'string', default: '1' },
    },
  });
  if (values.help) return console.log(usage);
  const options = {
    count: whole('count', values.count),
    slots: whole('slots', values.slots),
    chunk: whole('chunk', values.chunk, 16),
    seed: whole('seed', values.seed, 0),
  };
  const { drains, recomputedTokens, attempts, expectedAttempts } = await measure(options);
  const handedBack = spread(drains.map((drain) => drain.handedBackMs));
  const exit = spread(drains.map((drain) => drain.exitMs));
  const held =
    recomputedTokens === 0 &&
    attempts === expectedAttempts &&
    drains.every(({ exitCode }) => exitCode === 0) &&
    exit.p50Ms < limits.p50Ms &&
    exit.p99Ms < limits.p99Ms;
  if (values.json) {
    console.log(JSON.stringify({ ...options, handedBack, exit, recomputedTokens, attempts, expectedAttempts, held }));
  } else {
    console.log(`${options.count} drains of ${options.slots} jobs, chunks of ${options.chunk} tokens\n`);
    console.log(`${''.padEnd(24)}      p50      p99      max   ms`);
    for (const [name, row] of Object.entries({ 'SIGTERM to handed back': handedBack, 'SIGTERM to exit': exit })) {
      const figures = [row.p50Ms, row.p99Ms, row.maxMs].map((ms) => ms.toFixed(0).padStart(9)).join('');
      console.log(name.padEnd(24) + figures);
    }
    console.log(`\ntokens read twice ${recomputedTokens}, attempts ${attempts} of ${expectedAttempts} expected`);
    console.log(`p50 < ${limits.p50Ms} ms and p99 < ${limits.p99Ms} ms to exit: ${held ? 'held' : 'MISSED'}`);
  }
  if (!held) process.exitCode = 1;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 1;
}
