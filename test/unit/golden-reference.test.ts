import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkModel } from '../../scripts/golden/check.ts';
import type { GoldenFolder } from '../../scripts/golden/folder.ts';
import { readGoldenFolder } from '../../scripts/golden/folder.ts';
import { type Checkpoint, readCheckpoint } from '../../scripts/golden/reference/checkpoint.ts';
import { ReferenceEngine, type ReferenceSession } from '../../scripts/golden/reference/engine.ts';
import { falconMamba, type Ops } from '../../scripts/golden/reference/model.ts';

const goldens = new URL('../fixtures/golden/', import.meta.url).pathname;
const folderOf = (name: string) => readGoldenFolder(`${goldens}${name}`);
const checkpointOf = (name: string) => readCheckpoint(`${goldens}${name}`);

test('the f64 reference meets every golden of the smallest model to half an ulp of its logits', async () => {
  const name = 'noconvbias-f16';
  const report = await checkModel(await folderOf(name), new ReferenceEngine(await checkpointOf(name)));
  assert.deepEqual(
    report.results.filter(({ ok }) => !ok),
    [],
  );
  const logits = report.results.find(({ kind }) => kind === 'logits');
  assert.ok(logits !== undefined && logits.error <= 2 ** -21, `logits are off by ${logits?.error}`);
});

/** Only the 17-token sequence: enough to see a mistake in the math, and quick. */
function shortened(folder: GoldenFolder): GoldenFolder {
  const kept = (name: string) => name.startsWith('L17.') && !/hidden|layer/.test(name);
  const of = <T>(record: Record<string, T>) => Object.fromEntries(Object.entries(record).filter(([key]) => kept(key)));
  const manifest = {
    ...folder.manifest,
    sequences: { L17: 17 },
    greedy: {},
    score: [],
    max_abs_differences: { ...folder.manifest.max_abs_differences, chunked_vs_whole: {} },
    tensors: of(folder.manifest.tensors),
  };
  return { ...folder, manifest, tensors: new Map([...folder.tensors].filter(([name]) => kept(name))) };
}

const same = (v: Float64Array) => v;
const swapRows = (matrix: Float64Array, row: number, from: number, to: number, count: number) => {
  const copy = matrix.slice();
  copy.copyWithin(from * row, to * row, (to + count) * row);
  copy.set(matrix.subarray(from * row, (from + count) * row), to * row);
  return copy;
};

interface Mistake {
  readonly on: string;
  readonly ops?: Partial<Ops>;
  readonly spoil?: (model: Checkpoint) => void;
}

const clear = (model: Checkpoint, name: keyof Checkpoint['layers'][number]) => {
  for (const layer of model.layers) layer[name].fill(0);
};

/** Typical mistakes, each on a model whose weights make it show. */
const mistakes: Readonly<Record<string, Mistake>> = {
  'no norm of dt': { on: 'tiny-f32', ops: { normalizeDt: same } },
  'no norm of B': { on: 'tiny-f32', ops: { normalizeB: same } },
  'no norm of C': { on: 'tiny-f32', ops: { normalizeC: same } },
  'no final norm': { on: 'tiny-f32', ops: { finalNorm: same } },
  'no activation after the convolution': { on: 'tiny-f32', ops: { convActivation: (v) => v } },
  'a gate without activation': { on: 'tiny-f32', ops: { gateActivation: (v) => v } },
  'the exact discretization of B': { on: 'tiny-f32', ops: { inputFactor: (dt, a) => Math.expm1(dt * a) / a } },
  'the epsilons swapped': {
    on: 'odd-dims',
    spoil: (m) => {
      [m.normEps, m.mixerEps] = [m.mixerEps, m.normEps];
    },
  },
  'the default mixer epsilon where 1e-5 is set': {
    on: 'odd-dims',
    spoil: (m) => {
      m.mixerEps = 1e-6;
    },
  },
  'a norm epsilon of 1e-5 where 1e-6 is set': {
    on: 'odd-dims',
    spoil: (m) => {
      m.normEps = 1e-5;
    },
  },
  'no D': { on: 'tiny-f32', spoil: (m) => clear(m, 'd') },
  'no conv bias': { on: 'tiny-f32', spoil: (m) => clear(m, 'convBias') },
  'no dt bias': { on: 'tiny-f32', spoil: (m) => clear(m, 'dtBias') },
  'no out_proj bias': { on: 'bias-bf16', spoil: (m) => clear(m, 'outProjBias') },
  'no in_proj bias': { on: 'bias-bf16', spoil: (m) => clear(m, 'inProjBias') },
  'the convolution reversed': {
    on: 'tiny-f32',
    spoil: ({ layers, dConv }) => {
      for (const { conv } of layers) for (let i = 0; i < conv.length; i += dConv) conv.subarray(i, i + dConv).reverse();
    },
  },
  'x and gate swapped': {
    on: 'tiny-f32',
    spoil: ({ layers, dModel, dInner }) => {
      for (const layer of layers) layer.inProj = swapRows(layer.inProj, dModel, 0, dInner, dInner);
    },
  },
  'B and C swapped': {
    on: 'tiny-f32',
    spoil: ({ layers, dInner, dtRank, dState }) => {
      for (const layer of layers) layer.xProj = swapRows(layer.xProj, dInner, dtRank, dtRank + dState, dState);
    },
  },
  'time steps off by one part in ten thousand': {
    on: 'stress',
    ops: { timeStep: (v) => falconMamba.timeStep(v) * (1 + 1e-4) },
  },
};

for (const [name, { on, ops, spoil }] of Object.entries(mistakes)) {
  test(`the comparison misses when the model has ${name}`, async () => {
    const model = await checkpointOf(on);
    spoil?.(model);
    const report = await checkModel(
      shortened(await folderOf(on)),
      new ReferenceEngine(model, { ...falconMamba, ...ops }),
    );
    const missed = report.results.filter(({ ok }) => !ok).map(({ kind }) => kind);
    assert.equal(report.ok, false);
    assert.ok(missed.includes('logits'), `missed: ${missed.join(', ')}`);
  });
}

test('a state that loses a part on restore is a miss of the continuation', async () => {
  class Forgetful extends ReferenceEngine {
    override restoreSession(snapshot: Parameters<ReferenceEngine['restoreSession']>[0]): ReferenceSession {
      return super.restoreSession({ ...snapshot, conv: new Float32Array(snapshot.conv.length) });
    }
  }
  const name = 'noconvbias-f16';
  const report = await checkModel(await folderOf(name), new Forgetful(await checkpointOf(name)));
  const missed = report.results.filter(({ ok }) => !ok).map(({ kind }) => kind);
  assert.deepEqual(missed, ['continuation logits', 'continuation conv state', 'continuation ssm state']);
});

test('a tensor that no case knows, a listed tensor that is gone and a changed file are misses', async () => {
  const folder = shortened(await folderOf('noconvbias-f16'));
  const tensors = new Map(folder.tensors);
  tensors.set('L17.surprise.f64', tensors.get('L17.logprobs.f64')!);
  const manifest = { ...folder.manifest, tensors: { ...folder.manifest.tensors, 'L17.lost.f64': {} } };
  const digests = new Map(folder.digests).set('config.json', '0'.repeat(64)).set('model.safetensors', null);
  const engine = new ReferenceEngine(await checkpointOf('noconvbias-f16'));
  const report = await checkModel({ ...folder, manifest, tensors, digests }, engine);
  const missed = report.results.filter(({ ok }) => !ok).map(({ kind }) => kind);
  assert.deepEqual(missed, ['files', 'tensors']);
});
