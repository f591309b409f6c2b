import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Findings, largestError } from '../../scripts/golden/compare.ts';
import { convStateFromHuggingFace } from '../../scripts/golden/conv-layout.ts';
import { Manifest } from '../../scripts/golden/manifest.ts';
import { readSafetensors, type StoredTensor, toFloat64, writeSafetensors } from '../../scripts/golden/safetensors.ts';
import { deriveTolerances, floorUlps, noiseFactor, toleranceFrom, ulp } from '../../scripts/golden/tolerance.ts';

test('an ulp is the distance to the next f32', () => {
  for (const value of [1, 1.5, 3, 11.25, 0.3, 1e-20, 294.78]) {
    const bits = new Uint32Array(new Float32Array([value]).buffer);
    const here = new Float32Array(bits.buffer)[0]!;
    const next = new Float32Array(new Uint32Array([bits[0]! + 1]).buffer)[0]!;
    assert.equal(ulp(here), next - here, `ulp of ${value}`);
  }
  assert.equal(ulp(0), 2 ** -149);
});

test('a tolerance is a multiple of the noise, and never below a few ulp', () => {
  assert.equal(toleranceFrom(1e-3, 1), noiseFactor * 1e-3);
  assert.equal(toleranceFrom(0, 8), floorUlps * 2 ** -20);
});

const manifest = (over: object) =>
  Manifest.parse({
    name: 'small',
    resolved_config: {},
    sequences: {},
    greedy: {},
    score: [],
    max_abs_differences: {
      f32_vs_f64: {
        L1: { logits: 1e-6, conv_state: 2e-6, ssm_state: 3e-6 },
        L3: { logits: 5e-6, conv_state: 1e-6, ssm_state: 1e-6 },
      },
      chunked_vs_whole: {},
    },
    tensors: {},
    sha256: {},
    ...over,
  });

const values = (...numbers: number[]) => Float64Array.from(numbers);
const pairs = [
  { quantity: 'logits', f64: values(1, 2), f32: values(1, 2 + 9e-6) },
  { quantity: 'logprob', f64: values(-1), f32: values(-1 - 1e-6) },
  { quantity: 'convState', f64: values(1), f32: null },
  { quantity: 'ssmState', f64: values(1), f32: null },
] as const;

test('noise is the largest distance of a quantity, stored or listed, over all sequences', () => {
  const limits = deriveTolerances(manifest({}), pairs);
  const close = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1e-9, `${a} beside ${b}`);
  close(limits.logits, noiseFactor * 9e-6);
  close(limits.logprob, noiseFactor * 1e-6);
  close(limits.convState, noiseFactor * 2e-6);
  close(limits.ssmState, noiseFactor * 3e-6);
});

test('a sum of log-probabilities is allowed what one of them is, however well its stored errors cancel', () => {
  const row = { context_len: 1, continuation_len: 2, sum_f64: -1, is_greedy_f64: false };
  const cancelled = deriveTolerances(manifest({ score: [{ ...row, sum_f32: -1 }] }), pairs);
  assert.equal(cancelled.scoreSum, cancelled.logprob);
  const apart = deriveTolerances(manifest({ score: [{ ...row, sum_f32: -1.001 }] }), pairs);
  assert.ok(Math.abs(apart.scoreSum - noiseFactor * 1e-3) < 1e-9);
});

test('a quantity without any f32 run is refused', () => {
  assert.throws(
    () => deriveTolerances(manifest({}), [{ quantity: 'logprob', f64: values(1), f32: null }]),
    /no f32 run and no listed distance for logprob/,
  );
});

test('the largest error names its place; NaN and a wrong length are beyond every tolerance', () => {
  assert.deepEqual(largestError([1, 2, 3], [1, 2.5, 3.25]), { error: 0.5, index: 1 });
  assert.deepEqual(largestError([1, 2, 3], [1, Number.NaN, 9]), { error: Number.POSITIVE_INFINITY, index: 1 });
  assert.equal(largestError([1, 2], [1]).error, Number.POSITIVE_INFINITY);
  assert.equal(largestError([], []).error, 0);
});

test('findings keep the worst place of a kind, and one miss spoils it', () => {
  const findings = new Findings();
  const add = (actual: number, where: string) =>
    findings.add({ kind: 'logits', where: () => where, expected: [1], actual: [actual], tolerance: 0.5 });
  add(1.25, 'here');
  assert.equal(findings.results()[0]?.ok, true);
  add(2, 'there');
  add(1.1, 'elsewhere');
  const [result] = findings.results();
  assert.deepEqual(result, {
    kind: 'logits',
    error: 1,
    tolerance: 0.5,
    where: 'there',
    comparisons: 3,
    values: 3,
    ok: false,
  });
});

test('the conv state loses its oldest column', () => {
  assert.deepEqual(convStateFromHuggingFace(values(1, 2, 3, 4, 5, 6), 3), values(2, 3, 5, 6));
  assert.throws(() => convStateFromHuggingFace(values(1, 2, 3), 2), /not rows of d_conv = 2/);
});

test('safetensors are read in every stored type, and written as they were read', () => {
  const stored = (dtype: StoredTensor['dtype'], shape: number[], bytes: ArrayBuffer): StoredTensor => ({
    dtype,
    shape,
    bytes: new Uint8Array(bytes),
  });
  const tensors = new Map<string, StoredTensor>([
    ['f64', stored('F64', [2], Float64Array.of(1 / 3, -2).buffer)],
    ['i64', stored('I64', [2], BigInt64Array.of(-1n, 7n).buffer)],
    ['f32', stored('F32', [1, 1], Float32Array.of(0.1).buffer)],
    ['f16', stored('F16', [4], Uint16Array.of(0x3c00, 0xc500, 0x0001, 0x7c00).buffer)],
    ['bf16', stored('BF16', [3], Uint16Array.of(0x3f80, 0xc0a0, 0x7f80).buffer)],
  ]);
  const file = readSafetensors(writeSafetensors({ tensors, metadata: { note: 'test' } }));
  assert.deepEqual(file.metadata, { note: 'test' });
  const read = Object.fromEntries([...file.tensors].map(([name, tensor]) => [name, [...toFloat64(tensor)]]));
  assert.deepEqual(read, {
    f64: [1 / 3, -2],
    i64: [-1, 7],
    f32: [Math.fround(0.1)],
    f16: [1, -5, 2 ** -24, Number.POSITIVE_INFINITY],
    bf16: [1, -5, Number.POSITIVE_INFINITY],
  });
  assert.deepEqual(file.tensors.get('f32')?.shape, [1, 1]);
});

test('a safetensors file that does not hold what its header says is refused', () => {
  const whole = writeSafetensors({
    tensors: new Map([['a', { dtype: 'F32', shape: [2], bytes: new Uint8Array(8) }]]),
    metadata: null,
  });
  assert.throws(() => readSafetensors(whole.subarray(0, whole.length - 1)), /tensor a needs 8 bytes .* found 7/);
  assert.throws(() => readSafetensors(whole.subarray(0, 20)), /the safetensors header claims/);
});
