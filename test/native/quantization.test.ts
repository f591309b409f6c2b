// What a bitsandbytes checkpoint may not be: each refusal names the key, what was expected and what was found.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { EngineError, type EngineErrorCode, loadModel } from '../../native/index.ts';
import { type Format, type RawTensor, writePair } from '../support/bitsandbytes.ts';
import { cpu, golden } from './fixture.ts';

type Tensors = Map<string, RawTensor>;
const module = 'backbone.layers.1.mixer.out_proj';
const weight = `${module}.weight`;
const state = `${weight}.quant_state.bitsandbytes__nf4`;
const nf4: Format = { kind: 'nf4', blockSize: 64, nested: false, storage: 'U8' };
const nested: Format = { ...nf4, nested: true };
const int8: Format = { kind: 'int8' };

const drop = (key: string) => (all: Tensors) => void all.delete(key);
const replace = (key: string, change: (old: RawTensor) => Partial<RawTensor>) => (all: Tensors) => {
  const old = all.get(key) ?? assert.fail(`no tensor ${key}`);
  all.set(key, { ...old, ...change(old) });
};
const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
const json = (change: (value: Record<string, unknown>) => unknown) =>
  replace(state, ({ bytes }) => {
    const text = JSON.stringify(change(JSON.parse(Buffer.from(bytes).toString())));
    const out = new TextEncoder().encode(text);
    return { bytes: out, shape: [out.length] };
  });
const shorter = ({ shape, bytes }: RawTensor) => ({
  shape: [shape[0]! - 1],
  bytes: bytes.subarray(0, bytes.length - 4),
});
const firstFloat =
  (value: number) =>
  ({ bytes }: RawTensor) => ({
    bytes: Uint8Array.from([...floats(value), ...bytes.subarray(4)]),
  });

const cases: readonly (readonly [string, Format, (all: Tensors) => void, EngineErrorCode, RegExp])[] = [
  ['no absmax', nf4, drop(`${weight}.absmax`), 'model_incomplete', /out_proj\.weight\.absmax is missing/],
  ['no quant_map', nf4, drop(`${weight}.quant_map`), 'model_incomplete', /quant_map is missing/],
  ['no quant_state', nf4, drop(state), 'model_unsupported', /out_proj\.weight must be F32, F16 or BF16, found U8/],
  [
    'absmax too short',
    nf4,
    replace(`${weight}.absmax`, shorter),
    'model_corrupt',
    /absmax must be F32 \[\d+\], found F32 \[\d+\]/,
  ],
  [
    'a code that is no number',
    nf4,
    replace(`${weight}.quant_map`, firstFloat(Number.NaN)),
    'model_corrupt',
    /quant_map\[0\] must be a finite number .*found NaN/,
  ],
  [
    'a scale that is no number',
    nf4,
    replace(`${weight}.absmax`, firstFloat(Number.POSITIVE_INFINITY)),
    'model_corrupt',
    /scale 0 of out_proj of layer 1 is not a finite number/,
  ],
  [
    'a state that is not JSON',
    nf4,
    replace(state, () => ({ bytes: Buffer.from('{"a'), shape: [3] })),
    'model_corrupt',
    /nf4 is not JSON/,
  ],
  [
    'a state that is not UTF-8',
    nf4,
    replace(state, () => ({ bytes: Uint8Array.of(0xff), shape: [1] })),
    'model_corrupt',
    /nf4 is not JSON/,
  ],
  [
    'a state of megabytes',
    nf4,
    replace(state, () => ({ bytes: new Uint8Array(1 << 20), shape: [1 << 20] })),
    'model_corrupt',
    /at most 4096 bytes/,
  ],
  [
    'another shape',
    nf4,
    json((s) => ({ ...s, shape: [1, 2] })),
    'model_corrupt',
    /shape must be \[\d+,\d+\] by config\.json, found \[1,2\]/,
  ],
  ['an unknown block size', nf4, json((s) => ({ ...s, blocksize: 48 })), 'model_corrupt', /nf4: blocksize/],
  [
    'another type than the key says',
    nf4,
    json((s) => ({ ...s, quant_type: 'fp4' })),
    'model_corrupt',
    /quant_type as its name does, found fp4/,
  ],
  ['an unknown dtype', nf4, json((s) => ({ ...s, dtype: 'int32' })), 'model_corrupt', /nf4: dtype/],
  ['a state that is a list', nf4, json(() => []), 'model_corrupt', /nf4: /],
  [
    'two states',
    nf4,
    (all) => all.set(`${weight}.quant_state.bitsandbytes__fp4`, all.get(state)!),
    'model_unsupported',
    /must have one quant_state .* found .*, /,
  ],
  [
    'codes too short',
    nf4,
    replace(weight, ({ shape, bytes }) => ({ shape: [shape[0]! - 8, 1], bytes: bytes.subarray(8) })),
    'model_corrupt',
    /must hold \d+ bytes of 4-bit codes, found U8 of \d+/,
  ],
  [
    'nested scales, no nesting',
    nested,
    json(({ nested_blocksize: _, ...s }) => s),
    'model_corrupt',
    /names no nested_blocksize, but nested scales are stored/,
  ],
  [
    'nested without offset',
    nested,
    json(({ nested_offset: _, ...s }) => s),
    'model_corrupt',
    /nested_offset is missing/,
  ],
  ['no nested map', nested, drop(`${weight}.nested_quant_map`), 'model_incomplete', /nested_quant_map is missing/],
  ['no nested absmax', nested, drop(`${weight}.nested_absmax`), 'model_incomplete', /nested_absmax is missing/],
  [
    'a nested scale that is no number',
    nested,
    replace(`${weight}.nested_absmax`, firstFloat(Number.NaN)),
    'model_corrupt',
    /scale 0 of out_proj of layer 1 is not a finite number/,
  ],
  ['SCB too short', int8, replace(`${module}.SCB`, shorter), 'model_corrupt', /SCB must be F32 \[\d+\], found/],
  [
    'another layout of int8',
    int8,
    replace(`${module}.weight_format`, () => ({ bytes: Uint8Array.of(1) })),
    'model_unsupported',
    /weight_format must be 0 \(row-major\), found 1/,
  ],
  [
    'SCB beside floats',
    int8,
    replace(weight, ({ shape }) => ({ dtype: 'BF16', bytes: new Uint8Array(2 * shape[0]! * shape[1]!) })),
    'model_corrupt',
    /weight must be I8 \[\d+,\d+\], found BF16/,
  ],
  ['int8 without SCB', int8, drop(`${module}.SCB`), 'model_unsupported', /must be F32, F16 or BF16, found I8/],
];

async function directory(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-refused-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

for (const [name, format, change, code, says] of cases)
  test(`refused: ${name}`, async (t) => {
    const { quantized } = await writePair(golden('tiny-bf16'), await directory(t), () => format, change);
    await assert.rejects(loadModel(quantized, cpu), (error) => {
      assert.ok(error instanceof EngineError, String(error));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, says);
      assert.match(error.message, /model\.safetensors|out_proj/);
      return true;
    });
  });

test('weights that are not finite are not quantized at load', async (t) => {
  const inNan = replace(weight, ({ bytes }) => ({ bytes: Uint8Array.from([0xc0, 0x7f, ...bytes.subarray(2)]) }));
  const { quantized } = await writePair(golden('tiny-bf16'), await directory(t), () => null, inNan);
  for (const weights of ['int8', 'nf4', 'fp8'] as const)
    await assert.rejects(loadModel(quantized, { ...cpu, weights }), /out_proj of layer 1: .*not finite/);
});
