import assert from 'node:assert/strict';
import { JobSpec, type OutputRecord, type Position } from '@longhaul/core/contracts';
import {
  type Acquired,
  type Commit,
  createLedger,
  type Lease,
  type Ledger,
  type LedgerOptions,
  type StateTensors,
} from '@longhaul/core/ledger';
import { MemoryStore } from './memory-store.ts';

export const jobId = 'job-00000001';
export const digest = (letter: string) => letter.repeat(64);
export const coded = (code: string) => (error: unknown) => (error as { code?: unknown }).code === code;
export const specOf = (change: Partial<JobSpec> = {}) =>
  JobSpec.parse({
    v: 1,
    jobId,
    tenant: 'default',
    createdAt: '2026-01-01T00:00:00.000Z',
    model: 'tiny',
    task: {
      kind: 'generate',
      prompt: null,
      maxNewTokens: 100,
      sampling: { temperature: 0, topK: null, topP: null, repetitionPenalty: 1, seed: '0' },
      stop: [],
    },
    document: { kind: 'inline', text: 'x' },
    compression: 'none',
    invalidUtf8: 'error',
    addBos: false,
    priority: 0,
    ...change,
  });
export const pins: Commit['pins'] = {
  source: { tag: 'sha256:x', bytes: 1 },
  questions: null,
  from: null,
  modelDigest: digest('a'),
  tokenizerDigest: digest('b'),
  chunkTokens: 8,
  engine: 'cpu/2/as-stored/matched',
};
export const usage = { inputTokens: 1, cachedTokens: 0, outputTokens: 2, inputBytes: 3 };
export const completion = {
  finishReason: 'length',
  usage,
  text: 'ab',
  score: null,
  answers: null,
  state: null,
} as const;

export function stateAt(tokenOffset: number): StateTensors {
  return {
    conv: Float32Array.of(tokenOffset),
    ssm: Float32Array.of(tokenOffset, 1),
    shape: { nLayer: 1, dInner: 1, dConv: 2, dState: 2 },
    tokenOffset,
    modelDigest: pins.modelDigest,
    tokenizerDigest: pins.tokenizerDigest,
  };
}
export const record = (position: number): OutputRecord => ({ position, token: position, logprob: -1, text: 'x' });

/** The commit that brings `lease` to `tokenOffset` with `count` more records. */
export function commitOf(lease: Lease, tokenOffset: number, count: number, change: Partial<Position> = {}): Commit {
  const from = lease.head.position.outputCount;
  return {
    pins,
    position: {
      tokenOffset,
      inputByteOffset: tokenOffset,
      textCursor: null,
      inputTokens: null,
      outputCount: from + count,
      nextToken: null,
      ...change,
    },
    state: stateAt(tokenOffset),
    records: Array.from({ length: count }, (_, i) => record(from + i + 1)),
    score: null,
    recomputedTokens: 2,
    busySeconds: 0.5,
  };
}

export function leaseOf(acquired: Acquired): Lease {
  assert.equal(acquired.kind, 'lease');
  return (acquired as Extract<Acquired, { kind: 'lease' }>).lease;
}

export async function setUp(
  options: LedgerOptions & { readonly spec?: Partial<JobSpec> } = {},
): Promise<{ store: MemoryStore; ledger: Ledger }> {
  const store = new MemoryStore();
  const ledger = createLedger(store, options);
  await ledger.submit(specOf(options.spec));
  return { store, ledger };
}

export async function outputOf(ledger: Ledger, skip = 0): Promise<number[]> {
  const positions: number[] = [];
  for await (const one of ledger.readOutput(jobId, { skip })) if ('position' in one) positions.push(one.position);
  return positions;
}
