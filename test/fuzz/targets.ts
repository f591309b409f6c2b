// The files that the project reads and did not write, each with the parser that meets it.
import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LonghaulError, RejectedJob } from '@longhaul/core/contracts';
import { decodeCheckpoint, encodeCheckpoint } from '../../core/ledger/checkpoint.ts';
import { readCheckpoint } from '../../native/checkpoint.ts';
import { EngineError } from '../../native/errors.ts';
import type { StoredRange } from '../../native/quantization.ts';
import { toFloat64 } from '../../scripts/golden/safetensors.ts';
import { loadTokenizer } from '../../worker/text/tokenizer.ts';
import { encode, readModel, writeSafetensors } from '../support/bitsandbytes.ts';

export interface Target {
  readonly name: string;
  /** Addresses of the code that new inputs are judged by. */
  readonly covers: RegExp;
  seeds(): Promise<Buffer[]>;
  open(): Promise<{ run(input: Buffer): Promise<void>; close(): Promise<void> }>;
  /** The one way to fail that is allowed. */
  refusal(error: unknown): boolean;
}

const fixture = (path: string) => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
const model = fixture('golden/tied-minimal');

async function folder(): Promise<{ dir: string; close: () => Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-fuzz-'));
  return { dir, close: () => rm(dir, { recursive: true, force: true }) };
}

/** Splits a safetensors file into its JSON header and its data. */
function split(file: Buffer): { header: Buffer; data: Buffer } {
  const end = 8 + Number(file.readBigUInt64LE());
  return { header: file.subarray(8, end), data: file.subarray(end) };
}

function withLength(header: Uint8Array, data: Uint8Array): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, data]);
}

/** A model directory in which one file is hostile: `place` puts the input where it belongs. */
function checkpoint(
  name: string,
  seeds: () => Promise<Buffer[]>,
  prepare: (dir: string) => Promise<(input: Buffer) => Promise<void>>,
): Target {
  return {
    name,
    covers: /\/native\/(checkpoint|config|quantization|safetensors)\.ts$/,
    seeds,
    refusal: (error) => error instanceof EngineError,
    async open() {
      const { dir, close } = await folder();
      for (const file of ['config.json', 'model.safetensors']) await cp(join(model, file), join(dir, file));
      const place = await prepare(dir);
      return {
        async run(input) {
          await place(input);
          await assertInside(await readCheckpoint(dir));
        },
        close,
      };
    },
  };
}

/** What was accepted lies inside its files. */
async function assertInside({ files, tensors }: Awaited<ReturnType<typeof readCheckpoint>>): Promise<void> {
  const sizes = await Promise.all(files.map(async (file) => (await readFile(file)).length));
  const inside = ({ file, offset, bytes }: StoredRange) =>
    assert.ok(offset >= 8 && bytes >= 0 && offset + bytes <= sizes[file]!, `[${offset}, +${bytes}) of ${sizes[file]}`);
  for (const tensor of tensors) {
    inside(tensor);
    assert.ok(tensor.rows > 0 && tensor.cols > 0);
    if (tensor.quantization) inside(tensor.quantization.scales);
    if (tensor.quantization?.kind === 'code4' && tensor.quantization.nested) inside(tensor.quantization.nested.scales);
  }
}

const jsonOf = (value: unknown) => Buffer.from(JSON.stringify(value));
const weight = 'backbone.layers.0.mixer.out_proj.weight';

/** The fixture with one weight in 4 bits; the state that describes it is the input. */
async function quantized(): Promise<{ state: Buffer; fileOf: (state: Buffer) => Uint8Array }> {
  const { tensors } = await readModel(model);
  const original = tensors.get(weight) ?? assert.fail(`no tensor ${weight}`);
  const [rows, cols] = original.shape as [number, number];
  const values = toFloat64({ ...original, dtype: original.dtype as 'F32' });
  const encoded = encode(weight, values, rows, cols, { kind: 'nf4', blockSize: 64, nested: true, storage: 'U8' });
  for (const [name, tensor] of encoded.tensors) tensors.set(name, tensor);
  const key = `${weight}.quant_state.bitsandbytes__nf4`;
  return {
    state: Buffer.from(tensors.get(key)!.bytes),
    fileOf: (state) => writeSafetensors(tensors.set(key, { dtype: 'U8', shape: [state.length], bytes: state })),
  };
}

async function indexSeed(): Promise<Buffer> {
  const { header } = split(await readFile(join(model, 'model.safetensors')));
  const names = Object.keys(JSON.parse(header.toString())).filter((name) => name !== '__metadata__');
  return jsonOf({ metadata: {}, weight_map: Object.fromEntries(names.map((name) => [name, 'a.safetensors'])) });
}

const state: Target = {
  name: 'state',
  covers: /\/core\/ledger\/(checkpoint|safetensors)\.ts$/,
  refusal: (error) => error instanceof RejectedJob,
  seeds: async () => [split((await someState()).bytes).header],
  async open() {
    const { data } = split((await someState()).bytes);
    return {
      async run(header) {
        // Whole, and cut at a place that the input chooses.
        const file = withLength(header, data);
        await decodeCheckpoint('state', file, null);
        await assert.rejects(decodeCheckpoint('state', file.subarray(0, header.length), null), RejectedJob);
      },
      close: async () => {},
    };
  },
};

async function someState() {
  const shape = { nLayer: 2, dInner: 3, dConv: 4, dState: 2 };
  const { bytes } = await encodeCheckpoint(
    {
      conv: Float32Array.from({ length: 18 }, (_, i) => i / 7),
      ssm: Float32Array.from({ length: 12 }, (_, i) => -i / 3),
      shape,
      tokenOffset: 4096,
      modelDigest: 'a'.repeat(64),
      tokenizerDigest: 'b'.repeat(64),
    },
    { inputByteOffset: 9000, textCursor: 'cursor', chunkTokens: 512, engine: 'cpu/2', parent: null },
  );
  return { bytes: Buffer.from(bytes) };
}

const tokenizer: Target = {
  name: 'tokenizer',
  covers: /\/worker\/text\/[^/]+\.ts$/,
  refusal: (error) => error instanceof LonghaulError,
  seeds: async () => [await readFile(fixture('induction/tokenizer.json'))],
  async open() {
    const { dir, close } = await folder();
    return {
      async run(input) {
        await writeFile(join(dir, 'tokenizer.json'), input);
        const loaded = await loadTokenizer(dir);
        const ids = await loaded.encode('Call me Ishmael. 1851');
        assert.ok(ids.every((id) => id >= 0));
        loaded.decode(ids);
      },
      close,
    };
  },
};

export const targets: readonly Target[] = [
  checkpoint(
    'config',
    async () => [await readFile(join(model, 'config.json'))],
    async (dir) => (input) => writeFile(join(dir, 'config.json'), input),
  ),
  checkpoint(
    'generation-config',
    async () => [jsonOf({ bos_token_id: 0, eos_token_id: [11, 10] })],
    async (dir) => (input) => writeFile(join(dir, 'generation_config.json'), input),
  ),
  checkpoint(
    'index',
    async () => [await indexSeed()],
    async (dir) => {
      await cp(join(dir, 'model.safetensors'), join(dir, 'a.safetensors'));
      await rm(join(dir, 'model.safetensors'));
      return (input) => writeFile(join(dir, 'model.safetensors.index.json'), input);
    },
  ),
  checkpoint(
    'safetensors',
    async () => [split(await readFile(join(model, 'model.safetensors'))).header],
    async (dir) => {
      const { data } = split(await readFile(join(dir, 'model.safetensors')));
      return (input) => writeFile(join(dir, 'model.safetensors'), withLength(input, data));
    },
  ),
  checkpoint(
    'quant-state',
    async () => [(await quantized()).state],
    async (dir) => {
      const { fileOf } = await quantized();
      return (input) => writeFile(join(dir, 'model.safetensors'), fileOf(input));
    },
  ),
  state,
  tokenizer,
];
