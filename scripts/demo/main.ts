import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type JobId, type JobResult, type Progress, parseJobOptions } from '@longhaul/core/contracts';
import { createLedger, type Ledger, openStore } from '@longhaul/core/ledger';
import { openQueue } from '@longhaul/core/queue';
import { type LiveStream, openLiveStream } from '@longhaul/core/stream';
import { createProducer } from '@longhaul/producer';
import { mobyDick } from './book.ts';
import { Machine } from './machine.ts';
import { Screen } from './screen.ts';
import { type Compared, identical, table } from './table.ts';

const help = `Reads a book with two workers that are killed on the way, and compares the result with an uninterrupted run.

  --bytes N   read only the first N bytes of the book
  --json      one JSON object in place of the table
  --help

Example:
  npm run demo -- --bytes 300000
`;

const root = fileURLToPath(new URL('../../', import.meta.url));
const cli = join(root, 'producer/main.ts');
const model = 'tiny-english';

/** Short locks and commits: a kill is noticed in seconds, and the demo shows many commits. */
const upArgs = [
  ...['--workers', '2', '--model', model, '--slots', '2'],
  ...['--lock-ms', '3000', '--stalled-ms', '1000', '--commit-seconds', '2'],
];

const jobs = [
  { name: 'score', args: { task: 'score' } },
  { name: 'generate', args: { task: 'generate', maxNewTokens: '400', temperature: '0.8', topP: '0.95', seed: '1851' } },
] as const;

interface RunningJob {
  readonly name: string;
  readonly jobId: JobId;
  readonly startedAt: number;
}

async function demo(bytes: number, screen: Screen, dir: string, stop: AbortSignal): Promise<Compared[]> {
  const book = (await mobyDick()).subarray(0, bytes);
  const file = join(dir, 'moby-dick.txt');
  await writeFile(file, book);
  screen.say(`Moby Dick, ${book.length} bytes, with ${model}: one score job, one generate job, two workers`);

  const machine = new Machine(cli, join(dir, 'machine'), upArgs, (text) => screen.say(text));
  let interrupted: { readonly result: JobResult; readonly seconds: number }[];
  try {
    const up = await machine.waitReady(2);
    const store = await openStore(up.storeUrl);
    const ledger = createLedger(store);
    const live = openLiveStream({ url: up.redisUrl, onNotice: () => {} });
    const queue = openQueue({ url: up.redisUrl, model, onNotice: () => {} });
    try {
      const producer = createProducer({ ledger, live, openQueueFor: async () => queue });
      const running: RunningJob[] = [];
      for (const { name, args } of jobs) {
        const submitted = await producer.submit({
          document: { kind: 'upload', body: oneChunk(book) },
          questions: null,
          request: parseJobOptions(args),
          model,
          tenant: 'default',
          priority: 0,
          jobId: null,
          idempotencyKey: null,
          expiresInMs: null,
          enqueueMs: 10_000,
          signal: stop,
        });
        running.push({ name, jobId: submitted.jobId, startedAt: performance.now() });
      }
      const over = new AbortController();
      const disturbing = disturb(running, book.length, machine, live, screen, AbortSignal.any([stop, over.signal]));
      interrupted = await Promise.all(
        running.map(async (job) => ({
          result: await watch(job, book.length, ledger, live, screen, stop),
          seconds: (performance.now() - job.startedAt) / 1000,
        })),
      );
      over.abort();
      await disturbing;
    } finally {
      await queue.close();
      await live.close();
      await store.close();
    }
  } catch (error) {
    screen.say(machine.lastWords());
    throw error;
  } finally {
    await machine.stop();
    screen.done();
  }

  const compared: Compared[] = [];
  for (const [i, { name, args }] of jobs.entries()) {
    console.log(`reading it again without interruption: ${name}`);
    const startedAt = performance.now();
    const uninterrupted = await straight(file, args);
    compared.push({
      name,
      interrupted: interrupted[i]!.result,
      seconds: interrupted[i]!.seconds,
      uninterrupted,
      uninterruptedSeconds: (performance.now() - startedAt) / 1000,
    });
  }
  return compared;
}

/** At a third of the first job SIGKILLs the worker that has it in hand, at two thirds SIGTERMs the other one. */
async function disturb(
  jobs: readonly RunningJob[],
  bytes: number,
  machine: Machine,
  live: LiveStream,
  screen: Screen,
  stop: AbortSignal,
): Promise<void> {
  const first = jobs[0]!;
  let killed: string | null = null;
  for (const [signal, fraction] of [
    ['SIGKILL', 1 / 3],
    ['SIGTERM', 2 / 3],
  ] as const) {
    const progress = await progressUntil(first.jobId, live, (p) => p.bytes >= fraction * bytes, stop);
    if (progress === null) return;
    const busy = await Promise.all(jobs.map(async (job) => (await progressOf(job.jobId, live))?.worker));
    const victim = busy.find((worker) => worker !== undefined && worker !== killed) ?? progress.worker;
    await machine.signalWorker(victim, signal);
    screen.say(`  ${signal} to ${victim} at ${Math.round((100 * progress.bytes) / bytes)} % of ${first.name}`);
    killed = victim;
  }
}

/** Null too while Redis is away: progress is a display, and the demo's Redis may be killed like anything else. */
async function progressOf(jobId: JobId, live: LiveStream): Promise<Progress | null> {
  return live.readProgress(jobId).catch(() => null);
}

async function progressUntil(
  jobId: JobId,
  live: LiveStream,
  until: (progress: Progress) => boolean,
  stop: AbortSignal,
): Promise<Progress | null> {
  while (!stop.aborted) {
    const progress = await progressOf(jobId, live);
    if (progress !== null && until(progress)) return progress;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return null;
}

async function watch(
  job: RunningJob,
  bytes: number,
  ledger: Ledger,
  live: LiveStream,
  screen: Screen,
  stop: AbortSignal,
): Promise<JobResult> {
  for (;;) {
    stop.throwIfAborted();
    const result = await ledger.readResult(job.jobId);
    if (result !== null) {
      if (result.failure !== null)
        screen.say(`  ${job.name} failed: ${result.failure.code}: ${result.failure.message}`);
      screen.progress(job.name, 1, 0, result.finishReason);
      return result;
    }
    const progress = await progressOf(job.jobId, live);
    if (progress !== null) {
      const where = `${progress.worker}, epoch ${progress.epoch}, commit ${progress.commits}`;
      screen.progress(job.name, progress.bytes / bytes, progress.tokensPerSecond, where);
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** `longhaul run --json`: the same task straight through the engine. */
async function straight(file: string, args: Readonly<Record<string, string>>): Promise<JobResult> {
  const flags = Object.entries(args).flatMap(([key, value]) => [
    `--${key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`,
    value,
  ]);
  const child = spawn(
    process.execPath,
    [cli, 'run', file, '--model', join(root, 'models', model), '--json', ...flags],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`longhaul run ended with code ${code}: ${out}`);
  return JSON.parse(out) as JobResult;
}

async function* oneChunk(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

const { values } = parseArgs({
  options: {
    bytes: { type: 'string', default: '1000000000' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(help);
} else {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort(new Error(signal)));
  const startedAt = performance.now();
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-demo-'));
  try {
    const compared = await demo(Number(values.bytes), new Screen(), dir, stop.signal);
    const same = compared.every(identical);
    const text = compared[1]!.interrupted.text ?? '';
    if (values.json) console.log(JSON.stringify({ identical: same, jobs: compared }));
    else {
      console.log(`\n${table(compared)}\n`);
      console.log(`  identical: ${same ? 'yes' : 'NO'}   (${((performance.now() - startedAt) / 1000).toFixed(0)} s)\n`);
      console.log(`  and so it goes on:\n    ${text.trim().replace(/\s*\n\s*/g, '\n    ')}`);
    }
    process.exitCode = same ? 0 : 1;
  } catch (error) {
    console.error(`demo: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
