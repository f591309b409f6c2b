import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { JobSpec, systemClock, type TextSource } from '@longhaul/core/contracts';
import { createLedger, type Ledger, type ObjectStore, openStore } from '@longhaul/core/ledger';
import { createStates } from '@longhaul/core/states';
import { encodeCheckpoint } from '../../../core/ledger/checkpoint.ts';
import type { LoadedModel } from '../../../worker/adapters/model.ts';
import { ForkLimit } from '../../../worker/tasks/fork-limit.ts';
import { runJob } from '../../../worker/tasks/run-job.ts';
import { openDocument } from '../../../worker/text/index.ts';
import { unwatched } from '../../../worker/watchdog.ts';
import { scoreTask } from '../../support/tasks.ts';
import { type Spread, spreadOf } from '../stats.ts';
import { putDocument } from './document.ts';

export const defaults = { commitSeconds: 30, commitTokens: 65_536 } as const;
const never = { commitSeconds: 3600, commitTokens: 2 ** 31 } as const;
export const chunkTokens = 2048;
const samples = 9;

/** Milliseconds of the parts of one commit, medians. Only what takes the engine's or the main thread's time slows a job. */
export interface CommitCost {
  readonly checkpointBytes: number;
  readonly snapshotMs: number;
  readonly encodeMs: number;
  readonly putMs: number;
  readonly swapMs: number;
}

export interface Checkpointing {
  readonly tokens: number;
  readonly commits: number;
  /** Tokens a second with commits at the default interval, and with the last one alone. */
  readonly committing: Spread;
  readonly without: Spread;
  /** Of each pair of runs: committing over without. */
  readonly kept: Spread;
  readonly cost: CommitCost;
}

/** The same document read with and without commits, in turns, through tasks, tokenizer and ledger on a file store. */
export async function measureCheckpointing(loaded: LoadedModel, text: Buffer, rounds: number): Promise<Checkpointing> {
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-overhead-'));
  const store = await openStore(pathToFileURL(dir).href);
  const ledger = createLedger(store);
  try {
    const source = await putDocument(ledger, text);
    const read = (id: string, policy: typeof defaults | typeof never) =>
      readDocument(loaded, { ledger, store, source, id, policy });
    // What a process does once (compiling, first pages) belongs to neither side.
    const { commits, tokens } = await read('warm-up-run', defaults);
    const [committing, without, kept]: number[][] = [[], [], []];
    for (let round = 0; round < rounds; round++) {
      const pair = { on: 0, off: 0 };
      for (const side of round % 2 === 0 ? (['on', 'off'] as const) : (['off', 'on'] as const)) {
        pair[side] = (await read(`round-${round}-${side}`, side === 'on' ? defaults : never)).tokensPerSecond;
      }
      committing!.push(pair.on);
      without!.push(pair.off);
      kept!.push(pair.on / pair.off);
    }
    return {
      tokens,
      commits,
      committing: spreadOf(committing!),
      without: spreadOf(without!),
      kept: spreadOf(kept!),
      cost: await commitCost(loaded, store),
    };
  } finally {
    await ledger.close();
    await rm(dir, { recursive: true, force: true });
  }
}

async function readDocument(
  { engine, tokenizer }: LoadedModel,
  job: {
    readonly ledger: Ledger;
    readonly store: ObjectStore;
    readonly source: TextSource;
    readonly id: string;
    readonly policy: { readonly commitSeconds: number; readonly commitTokens: number };
  },
) {
  const { ledger, store, source, id, policy } = job;
  const spec = JobSpec.parse({
    v: 1,
    jobId: id,
    tenant: 'default',
    createdAt: new Date().toISOString(),
    model: 'bench',
    task: scoreTask,
    document: source,
    compression: 'none',
    invalidUtf8: 'replace',
    addBos: false,
    priority: 0,
  });
  await ledger.submit(spec);
  const acquired = await ledger.acquire(id, 'bench');
  if (acquired.kind !== 'lease') throw new Error(`${id} has ended before it began`);
  const started = performance.now();
  const end = await runJob({
    spec,
    lease: acquired.lease,
    ledger,
    engine,
    tokenizer,
    openDocument: (_source, request) =>
      openDocument(source, {
        ...request,
        store,
        openBucket: () => Promise.reject(new Error('the document is in the store')),
        fileRoots: [],
      }),
    states: createStates(store),
    forks: new ForkLimit(1),
    live: null,
    clock: systemClock,
    log: () => {},
    worker: 'bench',
    policy: { chunkTokens, ...policy },
    drain: new AbortController().signal,
    lost: new AbortController().signal,
    soon: new AbortController().signal,
    watch: unwatched,
  });
  const seconds = (performance.now() - started) / 1000;
  if (end.kind !== 'done') throw new Error(`${id} ended as ${end.kind}`);
  const tokens = end.result.usage.inputTokens;
  return { tokens, tokensPerSecond: tokens / seconds, commits: end.result.stats.commits };
}

async function commitCost({ engine, tokenizer }: LoadedModel, store: ObjectStore): Promise<CommitCost> {
  const session = engine.openSession();
  const parts: Record<'snapshotMs' | 'encodeMs' | 'putMs' | 'swapMs', number[]> = {
    snapshotMs: [],
    encodeMs: [],
    putMs: [],
    swapMs: [],
  };
  const timed = async <T>(part: keyof typeof parts, work: () => Promise<T>): Promise<T> => {
    const started = performance.now();
    const result = await work();
    parts[part].push(performance.now() - started);
    return result;
  };
  const head = Buffer.alloc(2048, 'h');
  let { etag } = await store.putIfAbsent('cost/head.json', head);
  let checkpointBytes = 0;
  for (let i = 0; i < samples; i++) {
    await engine.step(session, new Int32Array(64).fill(i + 1), { kind: 'nothing' }, 'prefill');
    const snapshot = await timed('snapshotMs', () => session.snapshot());
    const state = {
      conv: snapshot.conv,
      ssm: snapshot.ssm,
      shape: engine.shape,
      tokenOffset: snapshot.position,
      modelDigest: snapshot.modelDigest,
      tokenizerDigest: tokenizer.digest,
    };
    const about = { inputByteOffset: 0, textCursor: null, chunkTokens, engine: engine.identity, parent: null };
    const { bytes } = await timed('encodeMs', () => encodeCheckpoint(state, about));
    checkpointBytes = bytes.length;
    await timed('putMs', () => store.putIfAbsent(`cost/${i}`, bytes));
    ({ etag } = await timed('swapMs', () => store.putIfMatch('cost/head.json', Buffer.alloc(2048, `${i}`), etag)));
  }
  session.close();
  const median = (part: keyof typeof parts) => spreadOf(parts[part]).median;
  return {
    checkpointBytes,
    snapshotMs: median('snapshotMs'),
    encodeMs: median('encodeMs'),
    putMs: median('putMs'),
    swapMs: median('swapMs'),
  };
}
