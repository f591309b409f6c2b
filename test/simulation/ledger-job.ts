import { createHash } from 'node:crypto';
import { JobSpec, type OutputRecord } from '@longhaul/core/contracts';
import type { Commit, StateTensors } from '@longhaul/core/ledger';
import { greedySampling } from '../support/tasks.ts';
import { chainsOf, type Golden } from './golden.ts';

/** Output records of the job that workers at the ledger's level make up. */
export const TOTAL = 14;

const digest = (letter: string) => letter.repeat(64);

const pins: Commit['pins'] = {
  source: { tag: 'sha256:x', bytes: TOTAL },
  questions: null,
  from: null,
  modelDigest: digest('a'),
  tokenizerDigest: digest('b'),
  chunkTokens: 1,
  engine: 'sim/1',
};

/** The state at an offset; `off` makes another of it. */
export function bareState(tokenOffset: number, off = 0): StateTensors {
  return {
    conv: Float32Array.of(tokenOffset + 0.5, 1 + off),
    ssm: Float32Array.of(tokenOffset, 2, 3, 4),
    shape: { nLayer: 1, dInner: 2, dConv: 2, dState: 2 },
    tokenOffset,
    modelDigest: pins.modelDigest,
    tokenizerDigest: pins.tokenizerDigest,
  };
}

export function bareCommit(of: {
  readonly tokenOffset: number;
  readonly outputCount: number;
  readonly records: readonly OutputRecord[];
  readonly state: StateTensors | null;
}): Commit {
  const { tokenOffset, outputCount, records, state } = of;
  return {
    pins,
    position: { tokenOffset, inputByteOffset: 1, textCursor: null, inputTokens: 1, outputCount, nextToken: null },
    state,
    records,
    score: null,
    recomputedTokens: 0,
    busySeconds: 1,
  };
}

function stateDigest({ conv, ssm }: StateTensors): string {
  const hash = createHash('sha256');
  for (const { buffer } of [conv, ssm]) hash.update(new Uint8Array(buffer));
  return hash.digest('hex');
}

const records: readonly OutputRecord[] = Array.from({ length: TOTAL }, (_, i) => ({
  position: i + 1,
  token: (i * 7919) % 1000,
  logprob: -(i + 1) / 3,
  text: `t${i}`,
}));

export const ledgerJob: Golden = {
  spec: JobSpec.parse({
    v: 1,
    jobId: 'job-under-test',
    tenant: 'default',
    createdAt: '2026-01-01T00:00:00.000Z',
    model: 'sim',
    task: {
      kind: 'generate',
      prompt: null,
      maxNewTokens: TOTAL,
      sampling: greedySampling,
      stop: [],
      topLogprobs: 0,
    },
    document: { kind: 'inline', text: 'x' },
    compression: 'none',
    invalidUtf8: 'error',
    addBos: false,
    priority: 0,
  }),
  records,
  chains: chainsOf(records),
  states: new Map(Array.from({ length: TOTAL + 1 }, (_, n) => [n, stateDigest(bareState(n))])),
  answer: {
    text: records.map((record) => ('text' in record ? record.text : '')).join(''),
    score: null,
    usage: { inputTokens: 1, cachedTokens: 0, outputTokens: TOTAL, inputBytes: 1 },
  },
};
