// bitsandbytes checkpoints and quantization at load against the values that their weights are worth.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadModel, type ModelOptions } from '@longhaul/native';
import { readGoldenFolder, TensorShelf } from '../../scripts/golden/folder.ts';
import { type Format, type RawTensor, writePair } from '../support/bitsandbytes.ts';

const golden = (name: string) => new URL(`../fixtures/golden/${name}`, import.meta.url).pathname;

async function temporaryDirectory(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-quantized-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Logits (T, vocab) of a fixed sequence. */
async function logitsOf(
  dir: string,
  weights: ModelOptions['weights'],
  activations: ModelOptions['activations'],
): Promise<Float32Array> {
  const model = await loadModel(dir, { device: 'cpu', weights, activations, threads: 2, slots: null });
  try {
    const { vocabSize } = model.info;
    const tokens = Int32Array.from({ length: 60 }, (_, i) => (i * 37 + 5) % vocabSize);
    const [result] = await model.step([
      { session: model.openSession(), tokens, want: { kind: 'logits', positions: 'all' } },
    ]);
    assert.equal(result!.kind, 'logits');
    return (result as { logits: Float32Array }).logits;
  } finally {
    model.close();
  }
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  assert.equal(a.length, b.length);
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    if (!(difference <= most)) most = difference; // NaN sticks
  }
  return most;
}

/** Root of the mean square of the difference, in parts of that of the logits. */
function relativeError(a: Float32Array, b: Float32Array): number {
  let error = 0;
  let size = 0;
  for (let i = 0; i < a.length; i++) {
    error += (a[i]! - b[i]!) ** 2;
    size += b[i]! ** 2;
  }
  return Math.sqrt(error / size);
}

const int8: Format = { kind: 'int8' };
const four = (kind: 'nf4' | 'fp4', nested = false, blockSize = 64, storage: 'U8' | 'BF16' | 'F32' = 'U8'): Format => ({
  kind,
  blockSize,
  nested,
  storage,
});

const formats: readonly (readonly [string, (name: string) => Format | null])[] = [
  ['nf4', () => four('nf4')],
  ['nf4 nested', () => four('nf4', true)],
  ['fp4', () => four('fp4')],
  ['fp4 nested, blocks of 128, stored as BF16', () => four('fp4', true, 128, 'BF16')],
  ['nf4, blocks of 32, stored as F32', () => four('nf4', false, 32, 'F32')],
  ['int8', () => int8],
  [
    'mixed: out_proj left alone, lm_head in int8',
    (name) =>
      name.includes('out_proj') ? null : name.startsWith('lm_head') || name.includes('x_proj') ? int8 : four('fp4'),
  ],
];

/**
 * fp32 noise on these models' logits is about 1e-5 (the manifests' f32_vs_f64); codes and bytes are exact in fp32 and one
 * rounding apart from the dequantized value, so the two runs differ by another draw of that noise.
 */
const f32Tolerance = 1e-4;

/**
 * int8 activations are off by at most half of 1/127 of their group's largest, which these random, untrained layers carry
 * on to 1.5 to 4 % of the logits; the mistakes below make them another function altogether.
 */
const matchedTolerance = 0.06;

for (const [name, formatOf] of formats)
  test(`${name}: logits are those of the dequantized weights`, async (t) => {
    for (const model of ['tiny-bf16', 'odd-dims', 'bias-bf16', 'noconvbias-f16']) {
      const dir = await temporaryDirectory(t);
      const { quantized, plain } = await writePair(golden(model), dir, formatOf);
      const expected = await logitsOf(plain, 'as-stored', 'f32');
      const exact = largestDifference(await logitsOf(quantized, 'as-stored', 'f32'), expected);
      assert.ok(exact <= f32Tolerance, `${model}, f32: ${exact} of ${f32Tolerance}`);
      const matched = relativeError(await logitsOf(quantized, 'as-stored', 'matched'), expected);
      assert.ok(matched <= matchedTolerance, `${model}, matched: ${matched} of ${matchedTolerance}`);
    }
  });

const swapNibbles = (tensors: Map<string, RawTensor>) => {
  for (const [name, { dtype, shape, bytes }] of tensors)
    if (name.endsWith('in_proj.weight'))
      tensors.set(name, { dtype, shape, bytes: bytes.map((byte) => (byte >> 4) | ((byte & 15) << 4)) });
};
const shiftScales = (suffix: string, width: number) => (tensors: Map<string, RawTensor>) => {
  for (const [name, { dtype, shape, bytes }] of tensors)
    if (name.endsWith(suffix))
      tensors.set(name, {
        dtype,
        shape,
        bytes: Uint8Array.from([...bytes.subarray(width), ...bytes.subarray(0, width)]),
      });
};

for (const [mistake, format, change] of [
  ['nibbles the wrong way round', four('nf4'), swapNibbles],
  ['scales one block on', four('nf4'), shiftScales('.absmax', 4)],
  ['nested scales one block on', four('nf4', true), shiftScales('weight.absmax', 1)],
  ['scales one row on', int8, shiftScales('.SCB', 4)],
] as const)
  test(`both tolerances notice ${mistake}`, async (t) => {
    const { quantized, plain } = await writePair(
      golden('tiny-bf16'),
      await temporaryDirectory(t),
      () => format,
      change,
    );
    const expected = await logitsOf(plain, 'as-stored', 'f32');
    assert.ok(largestDifference(await logitsOf(quantized, 'as-stored', 'f32'), expected) > 100 * f32Tolerance);
    assert.ok(relativeError(await logitsOf(quantized, 'as-stored', 'matched'), expected) > 1.5 * matchedTolerance);
  });

for (const weights of ['int8', 'nf4'] as const)
  test(`quantizing at load to ${weights} has the bits of such a checkpoint`, async (t) => {
    for (const model of ['tiny-bf16', 'odd-dims', 'noconvbias-f16']) {
      const formatOf = (name: string) => (weights === 'int8' || name.startsWith('lm_head') ? int8 : four('nf4'));
      const { quantized } = await writePair(golden(model), await temporaryDirectory(t), formatOf);
      for (const activations of ['f32', 'matched'] as const) {
        const stored = await logitsOf(quantized, 'as-stored', activations);
        assert.deepEqual(await logitsOf(golden(model), weights, activations), stored, `${model}, ${activations}`);
        // What is stored quantized stays as it is.
        assert.deepEqual(await logitsOf(quantized, weights, activations), stored, `${model}, ${activations}, again`);
      }
    }
  });

test('bf16 weights with bf16 activations stand nearer to f64 than the bf16 run of the reference', async (t) => {
  for (const name of ['tiny-bf16', 'bias-bf16']) {
    const folder = await readGoldenFolder(golden(name));
    const shelf = new TensorShelf(folder.tensors);
    const model = await loadModel(golden(name), {
      device: 'cpu',
      weights: 'as-stored',
      activations: 'matched',
      threads: 2,
      slots: null,
    });
    try {
      for (const sequence of ['L17', 'L200']) {
        const tokens = shelf.ids(`${sequence}.input_ids`);
        const positions = shelf.ids(`${sequence}.positions`);
        const expected = Float32Array.from(shelf.values(`${sequence}.logits.f64`));
        const [result] = await model.step([
          { session: model.openSession(), tokens, want: { kind: 'logits', positions: 'all' } },
        ]);
        const { logits } = result as { logits: Float32Array };
        const { vocabSize } = model.info;
        const rows = Array.from(positions, (at) => [...logits.subarray(at * vocabSize, (at + 1) * vocabSize)]);
        const ours = largestDifference(Float32Array.from(rows.flat()), expected);
        const theirs = folder.manifest.max_abs_differences.native_vs_f64![sequence]!;
        t.diagnostic(`${name} ${sequence}: ${ours}, the reference's bf16 ${theirs}`);
        assert.ok(ours < theirs, `${name} ${sequence}: ${ours}, the reference's bf16 ${theirs}`);
      }
    } finally {
      model.close();
    }
  }
});
