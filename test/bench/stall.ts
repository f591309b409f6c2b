import { resolve } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describeError, systemClock } from '@longhaul/core/contracts';
import { greedy, loadModel, type Model, type ModelOptions, probeEngine } from '@longhaul/native';
import { engineOf } from '../../worker/engine/engine.ts';
import type { Engine } from '../../worker/ports.ts';

const usage = `bench:stall: how long a stream waits for its next token while other documents are read

  npm run bench:stall -- [--model DIR] [--threads N] [--seconds N] [--documents N]
                         [--weights KIND] [--activations KIND] [--json]

One stream decodes greedily without a pause through the worker's engine, first alone, then while documents are read in
chunks of 2048 tokens. Exit code 1 when the stream ever waited more than 150 ms for its next token while they were read.
The stream's tokens must be the same in both, else nothing is reported.

  --model DIR         a falcon_mamba folder (default: models/tiny-english)
  --threads N         threads of the engine (default: all cores)
  --seconds N         length of each part (default 6)
  --documents N       documents read beside the stream (default 1)
  --weights KIND      as-stored, int8 or nf4 (default as-stored)
  --activations KIND  matched or f32 (default matched, as the worker has it)
  --json              one JSON object on stdout

Example:
  npm run bench:stall -- --threads 2 --documents 3`;

/** The promise: a stream's next token is never further away. */
const limitMs = 150;
/** The promise: the event loop's delay at p99 while the engine is busy. */
const loopLimitMs = 50;
const chunkTokens = 2048;
/** As the worker's default of jobs in hand. */
const slots = 4;

const prompt = (tokens: number, vocabSize: number) =>
  Int32Array.from({ length: tokens }, (_, i) => (300 + i * 7919) % vocabSize);

interface Stream {
  readonly tokens: readonly number[];
  /** Milliseconds from asking for the first token to having it. */
  readonly firstMs: number;
  /** From one token to the next. */
  readonly gaps: readonly number[];
}

/** Reads a short prompt, then samples one token after the other until `signal`. */
async function stream(engine: Engine, signal: AbortSignal): Promise<Stream> {
  const session = engine.openSession();
  const want = { kind: 'sample', sampling: greedy, top: 0 } as const;
  const tokens: number[] = [];
  const gaps: number[] = [];
  let last = performance.now();
  let next = prompt(32, engine.vocabSize);
  while (!signal.aborted) {
    const result = await engine.step(session, next, want, tokens.length === 0 ? 'prefill' : 'decode');
    if (result.kind !== 'sample') throw new TypeError(`the engine answered ${result.kind}`);
    const now = performance.now();
    gaps.push(now - last);
    last = now;
    tokens.push(result.token);
    next = Int32Array.of(result.token);
  }
  session.close();
  return { tokens, firstMs: gaps[0]!, gaps: gaps.slice(1) };
}

/** Reads chunk after chunk until `signal`; returns tokens per second, tokens of a chunk under way included. */
async function read(engine: Engine, signal: AbortSignal): Promise<number> {
  const session = engine.openSession();
  const chunk = prompt(chunkTokens, engine.vocabSize);
  const began = performance.now();
  const reading = (async () => {
    while (!signal.aborted) await engine.step(session, chunk, { kind: 'nothing' }, 'prefill');
  })();
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  const rate = (1000 * session.position) / (performance.now() - began);
  session.close();
  // The chunk under way ends with its next piece: its session is closed.
  await reading.catch((error: unknown) => {
    if ((error as { code?: unknown }).code !== 'closed') throw error;
  });
  return rate;
}

/** Runs the parts side by side for a while; `late` starts when half of it is over. */
async function during<T, L>(
  ms: number,
  part: (signal: AbortSignal) => Promise<T>,
  late?: (signal: AbortSignal) => Promise<L>,
) {
  const end = AbortSignal.timeout(ms);
  const second = late === undefined ? null : delay(ms / 2).then(() => late(end));
  return await Promise.all([part(end), second]);
}

const sorted = (values: readonly number[]) => values.toSorted((a, b) => a - b);
const quantile = (values: readonly number[], q: number) =>
  sorted(values)[Math.ceil(q * values.length) - 1] ?? Number.NaN;

async function measure(model: Model, seconds: number, documents: number) {
  const ms = 1000 * seconds;
  const engine = engineOf(model, { budgetTokens: chunkTokens + slots, clock: systemClock });
  await during(ms / 4, (signal) => read(engine, signal));
  const [alone] = await during(ms, (signal) => stream(engine, signal));
  const [readAlone] = await during(ms, (signal) => read(engine, signal));

  const loop = monitorEventLoopDelay({ resolution: 1 });
  loop.enable();
  const [[beside, ...rates], late] = await during(
    ms,
    (signal) => Promise.all([stream(engine, signal), ...Array.from({ length: documents }, () => read(engine, signal))]),
    (signal) => stream(engine, signal),
  );
  loop.disable();
  const differs = beside.tokens.findIndex((token, i) => i < alone.tokens.length && token !== alone.tokens[i]);
  if (differs >= 0) throw new Error(`beside a document token ${differs} of the stream is another: nothing is reported`);

  const gaps = [...beside.gaps, ...late!.gaps];
  const maxMs = Math.max(...gaps);
  const eventLoopP99Ms = loop.percentile(99) / 1e6 - 1;
  return {
    quiet: { medianMs: quantile(alone.gaps, 0.5), p99Ms: quantile(alone.gaps, 0.99), maxMs: Math.max(...alone.gaps) },
    stream: { tokens: gaps.length, medianMs: quantile(gaps, 0.5), p99Ms: quantile(gaps, 0.99), maxMs },
    lateFirstTokenMs: late!.firstMs,
    prefill: { alone: readAlone, beside: (rates as number[]).reduce((sum, rate) => sum + rate, 0) },
    eventLoopP99Ms,
    held: maxMs <= limitMs && eventLoopP99Ms < loopLimitMs,
  };
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
      seconds: { type: 'string' },
      documents: { type: 'string' },
      weights: { type: 'string', default: 'as-stored' },
      activations: { type: 'string', default: 'matched' },
    },
  });
  if (values.help) {
    console.log(usage);
    return;
  }
  const seconds = whole('seconds', values.seconds, 6)!;
  const documents = whole('documents', values.documents, 1)!;
  const threads = whole('threads', values.threads, null);
  const activations = values.activations as ModelOptions['activations'];
  const weights = values.weights as ModelOptions['weights'];
  const model = await loadModel(values.model, { device: 'cpu', weights, activations, threads, slots: null });
  try {
    const figures = await measure(model, seconds, documents);
    const { cpuModel } = await probeEngine();
    const { isa, digest, parameterCount, threads: used } = model.info;
    const about = {
      model: resolve(values.model),
      digest,
      parameterCount,
      isa,
      weights,
      activations,
      threads: used,
      cpu: cpuModel,
    };
    if (values.json) console.log(JSON.stringify({ ...about, seconds, documents, limitMs, ...figures }, null, 2));
    else print({ ...about, documents }, figures);
    if (!figures.held) process.exitCode = 1;
  } finally {
    model.close();
  }
}

function print(about: Readonly<Record<string, unknown>>, figures: Awaited<ReturnType<typeof measure>>): void {
  for (const [key, value] of Object.entries(about)) console.log(`${key.padEnd(15)} ${value}`);
  const { quiet, stream, prefill, lateFirstTokenMs, eventLoopP99Ms, held } = figures;
  const row = (name: string, found: { medianMs: number; p99Ms: number; maxMs: number }) =>
    console.log(
      name.padEnd(28) + [found.medianMs, found.p99Ms, found.maxMs].map((x) => x.toFixed(1).padStart(9)).join(''),
    );
  console.log(`\n${''.padEnd(28)}   median      p99      max   ms from token to token`);
  row('stream alone', quiet);
  row('stream beside documents', stream);
  console.log(`\nfirst token of a stream that starts beside them   ${lateFirstTokenMs.toFixed(1)} ms`);
  console.log(
    `event-loop delay, p99                             ${eventLoopP99Ms.toFixed(1)} ms, allowed ${loopLimitMs} ms`,
  );
  console.log(
    `prefill alone, beside the streams                 ${prefill.alone.toFixed(0)}, ${prefill.beside.toFixed(0)} tokens/s`,
  );
  console.log(`longest wait ${stream.maxMs.toFixed(1)} ms, allowed ${limitMs} ms: ${held ? 'held' : 'MISSED'}`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 1;
}
