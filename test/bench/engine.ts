import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describeError } from '@longhaul/core/contracts';
import { loadModel, type Model, probeEngine, type Sampling, type Session } from '@longhaul/native';

const usage = `bench:engine: tokens per second of the bare engine on this machine's CPU

  npm run bench:engine -- [--model DIR] [--threads N] [--runs N] [--tokens N] [--json]

Prefill reads one document in chunks of 1, 64, 512 and 2048 tokens; decode samples greedily in batches of 1 and 8.
Every figure is the median of --runs runs (default 5) after one that is not counted, and every run starts from the zero
state. Before anything is timed, chunked and single-token reading must give the same bits.

  --model DIR  a falcon_mamba folder (default: models/tiny-english)
  --threads N  threads of the engine (default: all cores)
  --tokens N   tokens of one prefill run (default 4096; chunks of 1 and decode use a sixteenth of it)
  --json       one JSON object on stdout

Example:
  npm run bench:engine -- --threads 1 --runs 9`;

interface Row {
  readonly phase: 'prefill' | 'decode';
  /** Tokens a step for prefill; sessions a step for decode. */
  readonly size: number;
  readonly tokens: number;
  readonly tokensPerSecond: { readonly median: number; readonly min: number; readonly max: number };
}

const greedy: Sampling = {
  temperature: 0,
  topK: null,
  topP: null,
  repetitionPenalty: 1,
  penalized: new Int32Array(0),
  seed: 0n,
  position: 0,
};

/** A fixed document: the same ids on every machine. xorshift32. */
function document(tokens: number, vocabSize: number): Int32Array {
  let x = 2463534242;
  return Int32Array.from({ length: tokens }, () => {
    x = (x ^ (x << 13)) >>> 0;
    x = (x ^ (x >>> 17)) >>> 0;
    x = (x ^ (x << 5)) >>> 0;
    return x % vocabSize;
  });
}

async function prefill(model: Model, session: Session, ids: Int32Array, chunk: number): Promise<void> {
  for (let at = 0; at < ids.length; at += chunk) {
    await model.step([{ session, tokens: ids.subarray(at, at + chunk), want: { kind: 'nothing' } }]);
  }
}

async function decode(model: Model, sessions: readonly Session[], steps: number): Promise<void> {
  let next = sessions.map((_, i) => Int32Array.of(i));
  for (let i = 0; i < steps; i++) {
    const want = { kind: 'sample', sampling: greedy } as const;
    const results = await model.step(sessions.map((session, at) => ({ session, tokens: next[at]!, want })));
    next = results.map((result) => Int32Array.of(result.kind === 'sample' ? result.token : 0));
  }
}

/** Throws unless one token at a time and chunks give the same bits, finite and not all zero. */
async function assertCorrect(model: Model): Promise<void> {
  const ids = document(97, model.info.vocabSize);
  const states = [];
  for (const chunk of [1, 32, ids.length]) {
    const session = model.openSession();
    await prefill(model, session, ids, chunk);
    states.push(await session.snapshot());
    session.close();
  }
  const [first] = states;
  if (!first!.ssm.every(Number.isFinite) || first!.ssm.every((value) => value === 0)) {
    throw new Error('the state is not finite, or all zero: nothing was timed');
  }
  for (const { conv, ssm } of states) {
    if (
      !Buffer.from(conv.buffer).equals(Buffer.from(first!.conv.buffer)) ||
      !Buffer.from(ssm.buffer).equals(Buffer.from(first!.ssm.buffer))
    ) {
      throw new Error('chunks of 1, 32 and 97 tokens give different states: nothing was timed');
    }
  }
}

async function time(
  model: Model,
  runs: number,
  sessionCount: number,
  tokens: number,
  body: (sessions: Session[]) => Promise<void>,
): Promise<Row['tokensPerSecond']> {
  const rates: number[] = [];
  for (let run = 0; run <= runs; run++) {
    const sessions = Array.from({ length: sessionCount }, () => model.openSession());
    const start = performance.now();
    await body(sessions);
    if (run > 0) rates.push((1000 * tokens) / (performance.now() - start));
    for (const session of sessions) session.close();
  }
  rates.sort((a, b) => a - b);
  const middle = rates.length / 2;
  const median = (rates[Math.ceil(middle) - 1]! + rates[Math.floor(middle)]!) / 2;
  return { median, min: rates[0]!, max: rates.at(-1)! };
}

async function measure(model: Model, runs: number, tokens: number): Promise<Row[]> {
  const few = Math.max(Math.floor(tokens / 16), 1);
  const rows: Row[] = [];
  for (const size of [1, 64, 512, 2048]) {
    const ids = document(size === 1 ? few : tokens, model.info.vocabSize);
    const tokensPerSecond = await time(model, runs, 1, ids.length, ([session]) => prefill(model, session!, ids, size));
    rows.push({ phase: 'prefill', size, tokens: ids.length, tokensPerSecond });
  }
  for (const size of [1, 8]) {
    const all = size * few;
    const tokensPerSecond = await time(model, runs, size, all, (sessions) => decode(model, sessions, few));
    rows.push({ phase: 'decode', size, tokens: all, tokensPerSecond });
  }
  return rows;
}

function whole(name: string, text: string | undefined, absent: number | null): number | null {
  if (text === undefined) return absent;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} is a whole number from 1, found ${text}`);
  return value;
}

async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      model: { type: 'string', default: fileURLToPath(new URL('../../models/tiny-english', import.meta.url)) },
      threads: { type: 'string' },
      runs: { type: 'string' },
      tokens: { type: 'string' },
    },
  });
  if (values.help) {
    console.log(usage);
    return;
  }
  const runs = whole('runs', values.runs, 5)!;
  const tokens = whole('tokens', values.tokens, 4096)!;
  const threads = whole('threads', values.threads, null);
  const model = await loadModel(values.model, { device: 'cpu', weights: 'as-stored', activations: 'f32', threads });
  try {
    await assertCorrect(model);
    const rows = await measure(model, runs, tokens);
    const { cpuModel } = await probeEngine();
    const { isa, digest, parameterCount, threads: used } = model.info;
    const about = { model: resolve(values.model), digest, parameterCount, isa, threads: used, cpu: cpuModel, runs };
    if (values.json) console.log(JSON.stringify({ ...about, rows }, null, 2));
    else print(about, rows);
  } finally {
    model.close();
  }
}

function print(about: Readonly<Record<string, unknown>>, rows: readonly Row[]): void {
  for (const [key, value] of Object.entries(about)) console.log(`${key.padEnd(15)} ${value}`);
  console.log(`\n${'phase'.padEnd(8)} ${'size'.padStart(5)} ${'tok/s'.padStart(10)}   min .. max`);
  for (const { phase, size, tokensPerSecond } of rows) {
    const { median, min, max } = tokensPerSecond;
    const spread = `${min.toFixed(0)} .. ${max.toFixed(0)}`;
    console.log(`${phase.padEnd(8)} ${String(size).padStart(5)} ${median.toFixed(0).padStart(10)}   ${spread}`);
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 1;
}
