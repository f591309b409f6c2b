import { createHash } from 'node:crypto';
import { type Clock, JobSpec, type OutputRecord, type Task } from '@longhaul/core/contracts';
import { createLedger } from '@longhaul/core/ledger';
import { createStates } from '@longhaul/core/states';
import type { LiveStream } from '@longhaul/core/stream';
import type { Engine } from '../../worker/ports.ts';
import type { CommitPolicy } from '../../worker/tasks/context.ts';
import type { Document } from '../../worker/text/ports.ts';
import { Worker } from '../../worker/worker.ts';
import { byteTokenizer, fakeEngine } from '../support/fake-engine.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { greedySampling } from '../support/tasks.ts';
import { chainsOf, type Golden } from './golden.ts';

/** A job for the real worker, small enough to be run a hundred times a second. */
export interface WorkerJob {
  readonly golden: Golden;
  readonly text: string;
  readonly policy: CommitPolicy;
}

const commits = { commitSeconds: 2, commitTokens: 8 };

function generate(prompt: string | null, maxNewTokens: number): Task {
  return { kind: 'generate', prompt, maxNewTokens, sampling: greedySampling, stop: [], topLogprobs: 0 };
}

function ask(prompts: readonly string[], maxNewTokens: number): Task {
  const questions = prompts.map((prompt) => ({ id: null, prompt, maxNewTokens: null }));
  const asked = { kind: 'inline', questions } as const;
  const drawn = { maxNewTokens, sampling: greedySampling, stop: [], logprobs: false, topLogprobs: 0 };
  return { kind: 'ask', questions: asked, ...drawn };
}

const variants: readonly { readonly task: Task; readonly text: string; readonly policy: CommitPolicy }[] = [
  { task: generate(' so', 7), text: 'It is a way I have', policy: { chunkTokens: 4, ...commits } },
  // Nothing but output: commits stand between any two tokens.
  { task: generate(null, 12), text: 'It', policy: { chunkTokens: 4, commitSeconds: 1, commitTokens: 2 } },
  {
    task: { kind: 'score', segmentTokens: 64, detail: 'text', topLogprobs: 1 },
    text: 'of driving off the spleen',
    policy: { chunkTokens: 4, ...commits },
  },
  // Lines longer than commits are apart: the sums of an open line go through checkpoints.
  {
    task: { kind: 'score', segmentTokens: 64, detail: 'segment', topLogprobs: 0 },
    text: 'and regulating the circulation. '.repeat(5),
    policy: { chunkTokens: 16, commitSeconds: 2, commitTokens: 32 },
  },
  // Answers come from forks beside each other, and are committed in order beside a state that stands.
  {
    task: ask(['why', 'and', 'so', 'what of it', 'who'], 3),
    text: 'It is a way I have',
    policy: { chunkTokens: 4, commitSeconds: 2, commitTokens: 8 },
  },
];

export function documentOf(text: string, beforeRead: () => Promise<void> = async () => {}): Document {
  const bytes = new TextEncoder().encode(text);
  return {
    pin: { tag: 'sha256:sim', bytes: bytes.length },
    totalBytes: bytes.length,
    async *read(from) {
      await beforeRead();
      yield bytes.subarray(from);
    },
  };
}

const stillClock: Clock = {
  now: () => 0,
  date: () => new Date(Date.UTC(2026, 0, 1)),
  sleep: (_ms, signal) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
};

const silence: LiveStream = {
  append: async () => 0,
  postProgress: async () => true,
  readProgress: async () => null,
  signalCancel: async () => {},
  cancelSignalled: async () => false,
  close: async () => {},
  async *read() {},
};

/** The engine, telling the digest of each state that it comes to. */
function watched(engine: Engine, states: Map<number, string>): Engine {
  return {
    ...engine,
    async step(session, tokens, want, phase) {
      const result = await engine.step(session, tokens, want, phase);
      const { position, conv, ssm } = await session.snapshot();
      const hash = createHash('sha256');
      for (const part of [conv, ssm]) hash.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
      states.set(position, hash.digest('hex'));
      return result;
    },
  };
}

/** Runs the job once in a world without faults. */
async function run({ task, text, policy }: (typeof variants)[number]): Promise<WorkerJob> {
  const spec = JobSpec.parse({
    v: 1,
    jobId: 'job-under-test',
    tenant: 'default',
    createdAt: '2026-01-01T00:00:00.000Z',
    model: 'sim',
    task,
    document: { kind: 'inline', text: 'read by the simulation' },
    compression: 'none',
    invalidUtf8: 'error',
    addBos: false,
    priority: 0,
  });
  const ledger = createLedger(new MemoryStore());
  const states = new Map<number, string>();
  await ledger.submit(spec);
  const worker = new Worker({
    ledger,
    live: silence,
    engine: watched(fakeEngine(), states),
    tokenizer: byteTokenizer,
    openDocument: async () => documentOf(text),
    states: createStates(new MemoryStore()),
    forks: 2,
    clock: stillClock,
    log: () => {},
    name: 'golden',
    model: 'sim',
    policy,
    hungMs: 3_600_000,
    onLost: () => {},
    onFatal: (error) => {
      throw error;
    },
  });
  const settlement = await worker.handle({ jobId: spec.jobId, signal: new AbortController().signal });
  const result = await ledger.readResult(spec.jobId);
  if (settlement.kind !== 'done' || result?.status !== 'succeeded')
    throw new Error(`no golden run: ${settlement.kind}`);
  const records: OutputRecord[] = [];
  for await (const record of ledger.readOutput(spec.jobId, { skip: 0 })) records.push(record);
  const { text: whole, score, usage } = result;
  const golden = { spec, records, chains: chainsOf(records), states, answer: { text: whole, score, usage } };
  return { golden, text, policy };
}

let made: Promise<readonly WorkerJob[]> | null = null;

export function workerJobs(): Promise<readonly WorkerJob[]> {
  made ??= Promise.all(variants.map(run));
  return made;
}
