// Whatever the files hold, loading ends in a model or in an error that names the file, the limit and what was found.
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { EngineError, type EngineErrorCode, loadModel, type ModelOptions } from '../../native/index.ts';
import { copyOf, cpu, golden, type Header, type ModelCopy, withHeader } from './fixture.ts';

async function refused(dir: string, code: EngineErrorCode, text: RegExp, options: ModelOptions = cpu): Promise<void> {
  await assert.rejects(loadModel(dir, options), (error) => {
    assert.ok(error instanceof EngineError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    return true;
  });
}

test('the shape, digest and special tokens of a model come from its files', async () => {
  const model = await loadModel(golden('tiny-bf16'), cpu);
  const { info } = model;
  assert.deepEqual(
    [info.modelType, info.vocabSize, info.nLayer, info.dModel, info.dInner, info.dState, info.dConv, info.dtRank],
    ['falcon_mamba', 512, 4, 128, 256, 16, 4, 8],
  );
  assert.deepEqual([info.eosTokenIds, info.bosTokenId], [[11], 0]);
  assert.equal(info.stateBytes, 4 * 4 * 256 * (3 + 16));
  assert.match(info.digest, /^[0-9a-f]{64}$/);
  assert.equal(info.device, 'cpu');
  model.close();
});

test('the digest depends on the weights and on the configuration that counts, on nothing else', async (t) => {
  const digest = async (change: (copy: ModelCopy) => Promise<void>) => {
    const copy = await copyOf(t, 'tiny-f32');
    await change(copy);
    const model = await loadModel(copy.dir, cpu);
    model.close();
    return model.info.digest;
  };
  const flip = (bytes: Buffer) => {
    bytes[bytes.length - 4]! ^= 1;
    return bytes;
  };
  const original = await digest(async () => {});
  assert.equal(await digest((copy) => copy.config({ transformers_version: '9.9.9' })), original);
  assert.notEqual(await digest((copy) => copy.config({ mixer_rms_eps: 1e-4 })), original);
  assert.notEqual(await digest((copy) => copy.weights(flip)), original);
});

test('eos ids are a number, a list, or nothing', async (t) => {
  const copy = await copyOf(t, 'tiny-f32');
  const ids = async () => {
    const model = await loadModel(copy.dir, cpu);
    model.close();
    return model.info.eosTokenIds;
  };
  await writeFile(join(copy.dir, 'generation_config.json'), '{"eos_token_id": [11, 10]}');
  assert.deepEqual(await ids(), [11, 10]);
  await rm(join(copy.dir, 'generation_config.json'));
  assert.deepEqual(await ids(), [11]);
  await copy.config({ eos_token_id: null });
  assert.deepEqual(await ids(), []);
});

test('what is not there is named', async (t) => {
  await refused('/nonexistent/model', 'model_not_found', /\/nonexistent\/model/);
  const copy = await copyOf(t, 'tiny-f32');
  await rm(join(copy.dir, 'model.safetensors'));
  await refused(copy.dir, 'model_incomplete', /neither model\.safetensors nor/);
  const index = join(copy.dir, 'model.safetensors.index.json');
  await writeFile(index, '{"weight_map": {"a": "model-1.safetensors"}}');
  await refused(copy.dir, 'model_incomplete', /model-1\.safetensors, which is missing/);
  await writeFile(index, '{"weight_map": {"a": "../../secret.safetensors"}}');
  await refused(copy.dir, 'model_corrupt', /index\.json/);
  await rm(join(copy.dir, 'config.json'));
  await refused(copy.dir, 'model_not_found', /config\.json/);
});

test('models, options and devices that this engine does not serve are refused', async (t) => {
  const copy = await copyOf(t, 'tiny-f32');
  const noDevice = /cuda:999: (this build has no CUDA backend|no GPU|there are \d+ devices)/;
  await refused(copy.dir, 'device_unavailable', noDevice, { ...cpu, device: 'cuda:999' });
  await refused(copy.dir, 'invalid_argument', /threads must be .*65/, { ...cpu, threads: 65 });
  await copy.config({ model_type: 'llama' });
  await refused(copy.dir, 'model_unsupported', /model_type .*"llama"/);
  await copy.config({ model_type: 'falcon_mamba', quantization_config: { load_in_4bit: true } });
  await refused(copy.dir, 'model_unsupported', /quantiz/);
  await copy.config({ quantization_config: null, hidden_act: 'gelu' });
  await refused(copy.dir, 'model_unsupported', /hidden_act .*gelu/);
});

const badConfigs: [string, Record<string, unknown>, RegExp][] = [
  ['a negative size', { hidden_size: -64 }, /hidden_size.*-64/],
  ['a size beyond reason', { num_hidden_layers: 1e9 }, /num_hidden_layers.*1000000000/],
  ['text for a number', { state_size: 'sixteen' }, /state_size.*sixteen/],
  ['a shape that the weights do not have', { hidden_size: 32 }, /must have shape \[256,32\].*found \[256,64\]/],
  ['more state than the kernels hold', { state_size: 257 }, /state_size.*257/],
];
for (const [what, change, text] of badConfigs)
  test(`config.json with ${what} is corrupt`, async (t) => {
    const copy = await copyOf(t, 'tiny-f32');
    await copy.config(change);
    await refused(copy.dir, 'model_corrupt', text);
  });

test('config.json that is not JSON is corrupt', async (t) => {
  const copy = await copyOf(t, 'tiny-f32');
  await writeFile(join(copy.dir, 'config.json'), '{"model_type": ');
  await refused(copy.dir, 'model_corrupt', /config\.json is not JSON/);
  await writeFile(join(copy.dir, 'config.json'), '[]');
  await refused(copy.dir, 'model_corrupt', /config\.json is not a JSON object/);
});

const norm = 'backbone.norm_f.weight';
const entry = (header: Header) => header[norm]!;
const badHeaders: [string, (header: Header) => void, RegExp][] = [
  [
    'an unknown dtype',
    (h) => {
      entry(h).dtype = 'F33';
    },
    /norm_f.*unknown dtype "F33"/,
  ],
  [
    'a dtype named like an object method',
    (h) => {
      entry(h).dtype = 'constructor';
    },
    /unknown dtype/,
  ],
  ['offsets in reverse', (h) => void entry(h).data_offsets.reverse(), /norm_f.*lies at/],
  [
    'an end beyond the file',
    (h) => {
      entry(h).data_offsets[1] += 1 << 30;
    },
    /norm_f.*lies at/,
  ],
  [
    'a shape that the offsets do not fit',
    (h) => {
      entry(h).shape = [65];
    },
    /norm_f.*takes 260 bytes, found 256/,
  ],
  [
    'a product of dimensions that overflows',
    (h) => {
      entry(h).shape = [2 ** 40, 2 ** 40];
    },
    /norm_f/,
  ],
  [
    'a negative dimension',
    (h) => {
      entry(h).shape = [-64];
    },
    /norm_f.*shape/,
  ],
  [
    'a fractional offset',
    (h) => {
      entry(h).data_offsets[0] += 0.5;
    },
    /norm_f.*data_offsets/,
  ],
  [
    'an entry that is a number',
    (h) => {
      (h as Record<string, unknown>)[norm] = 7;
    },
    /norm_f/,
  ],
  [
    'tensors that overlap',
    (h) => {
      h['x'] = { ...entry(h) };
    },
    /begins at byte/,
  ],
];
for (const [what, change, text] of badHeaders)
  test(`a safetensors header with ${what} is corrupt`, async (t) => {
    const copy = await copyOf(t, 'tiny-f32');
    await copy.header(change);
    await refused(copy.dir, 'model_corrupt', text);
  });

const badBytes: [string, (bytes: Buffer) => Buffer, RegExp][] = [
  ['empty', () => Buffer.alloc(0), /at least 8 bytes, found 0/],
  ['cut in the header', (b) => b.subarray(0, 500), /does not fit into a file of 500 bytes/],
  ['cut in the data', (b) => b.subarray(0, b.length - 1), /lies at|the file at/],
  ['with bytes after the last tensor', (b) => Buffer.concat([b, Buffer.alloc(4)]), /the tensors end at/],
  [
    'with a header length beyond the limit',
    (b) => length(b, 100_000_001n),
    /at most 100000000 bytes, found a length of 100000001/,
  ],
  ['with a header length of 2^64 - 1', (b) => length(b, 2n ** 64n - 1n), /at most/],
  ['with a header that is not JSON', () => withHeader('{"a": ', Buffer.alloc(0)), /not JSON/],
  ['with a header that is not UTF-8', (b) => b.fill(0xff, 8, 12), /not UTF-8/],
  ['with a header that is a list', () => withHeader('[]', Buffer.alloc(0)), /not a JSON object/],
  ['with a key twice', (b) => duplicated(b), /names "backbone.norm_f.weight" twice/],
];
function length(bytes: Buffer, value: bigint): Buffer {
  bytes.writeBigUInt64LE(value);
  return bytes;
}
function duplicated(bytes: Buffer): Buffer {
  const end = 8 + Number(bytes.readBigUInt64LE());
  const header = bytes.toString('utf8', 8, end).trimEnd();
  const again = JSON.stringify(JSON.parse(header)[norm]);
  return withHeader(`${header.slice(0, -1)},"${norm}":${again}}`, bytes.subarray(end));
}
for (const [what, change, text] of badBytes)
  test(`a safetensors file ${what} is corrupt`, async (t) => {
    const copy = await copyOf(t, 'tiny-f32');
    await copy.weights(change);
    await refused(copy.dir, 'model_corrupt', text);
  });

test('a missing, misshapen, mistyped or surplus tensor is named', async (t) => {
  const rename = (from: string, to: string) => (header: Header) => {
    header[to] = header[from]!;
    delete header[from];
  };
  const missing = await copyOf(t, 'tiny-f32');
  await missing.header(rename('backbone.layers.1.mixer.D', 'other'));
  await refused(missing.dir, 'model_incomplete', /backbone\.layers\.1\.mixer\.D is missing/);

  const misshapen = await copyOf(t, 'tiny-f32');
  await misshapen.header((header) => header['backbone.layers.0.mixer.A_log']!.shape.reverse());
  await refused(misshapen.dir, 'model_corrupt', /A_log must have shape \[128,16\].*found \[16,128\]/);

  const mistyped = await copyOf(t, 'tiny-f32');
  await mistyped.header((header) => {
    header['backbone.layers.0.mixer.D']!.dtype = 'I32';
  });
  await refused(mistyped.dir, 'model_unsupported', /mixer\.D must be F32, F16 or BF16, found I32/);

  // The same weights said to have no biases: a bias left out of the computation would be silently wrong.
  const surplus = await copyOf(t, 'bias-bf16');
  await surplus.config({ use_bias: false });
  await refused(surplus.dir, 'model_unsupported', /bias has no place/);
});
