// Writes checkpoints as bitsandbytes does, and says what their weights are worth: written from its layout, sharing
// nothing with the engine.
//
//   4 bit: flattened row-major, two codes a byte, the first in the high nibble; absmax of every block in fp32, or in uint8
//   by a 256-entry map times an absmax of every 256 blocks plus their mean. 8 bit: rows scaled to their absmax / 127.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readSafetensors, toFloat64 } from '../../scripts/golden/safetensors.ts';

export interface RawTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export type Format =
  | { readonly kind: 'int8' }
  | {
      readonly kind: 'nf4' | 'fp4';
      readonly blockSize: number;
      readonly nested: boolean;
      readonly storage: 'U8' | 'BF16' | 'F32';
    };

export interface Encoded {
  readonly tensors: ReadonlyMap<string, RawTensor>;
  /** fp32 values of the weight, row-major. */
  readonly values: Float32Array;
}

const nf4 = [
  -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
];
const fp4 = [0, 0.0625, 8, 12, 4, 6, 2, 3, 0, -0.0625, -8, -12, -4, -6, -2, -3].map((x) => x / 12);
export const codes = { nf4: Float32Array.from(nf4), fp4: Float32Array.from(fp4) };

const f32 = Math.fround;
const bytesOf = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
const floats = (values: Float32Array, shape = [values.length]): RawTensor => ({
  dtype: 'F32',
  shape,
  bytes: bytesOf(values),
});

/** The index of the nearest entry; the lowest of two that are equally near. */
function nearest(table: Float32Array, x: number): number {
  let best = 0;
  for (let i = 1; i < table.length; i++) if (Math.abs(table[i]! - x) < Math.abs(table[best]! - x)) best = i;
  return best;
}

/** Weight `name` (ends in .weight), (rows, cols), and everything beside it. */
export function encode(name: string, weight: Float64Array, rows: number, cols: number, format: Format): Encoded {
  const tensors = new Map<string, RawTensor>();
  const values = new Float32Array(rows * cols);
  if (format.kind === 'int8') {
    const module = name.replace(/\.weight$/, '');
    const q = new Int8Array(rows * cols);
    const scb = new Float32Array(rows);
    for (let r = 0; r < rows; r++) {
      const row = weight.subarray(r * cols, (r + 1) * cols);
      scb[r] = row.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      const inverse = scb[r] === 0 ? 0 : f32(127 / scb[r]!);
      for (let k = 0; k < cols; k++) {
        q[r * cols + k] = halfToEven(f32(f32(row[k]!) * inverse));
        values[r * cols + k] = q[r * cols + k]! * f32(scb[r]! / 127);
      }
    }
    tensors.set(name, { dtype: 'I8', shape: [rows, cols], bytes: bytesOf(q) });
    tensors.set(`${module}.SCB`, floats(scb));
    tensors.set(`${module}.weight_format`, { dtype: 'U8', shape: [], bytes: Uint8Array.of(0) });
    return { tensors, values };
  }

  const { kind, blockSize, nested, storage } = format;
  const code = codes[kind];
  const blocks = Math.ceil(weight.length / blockSize);
  const absmax = new Float32Array(blocks);
  for (let b = 0; b < blocks; b++)
    absmax[b] = weight.subarray(b * blockSize, (b + 1) * blockSize).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const packed = new Uint8Array(Math.ceil(weight.length / 2));
  const nibbles = Uint8Array.from(weight, (x, i) => {
    const most = absmax[Math.floor(i / blockSize)]!;
    return nearest(code, most === 0 ? 0 : f32(f32(x) * f32(1 / most)));
  });
  for (const [i, nibble] of nibbles.entries()) packed[i >> 1]! |= i % 2 === 0 ? nibble << 4 : nibble;
  const width = { U8: 1, BF16: 2, F32: 4 }[storage];
  tensors.set(name, { dtype: storage, shape: [packed.length / width, 1], bytes: packed });
  tensors.set(`${name}.quant_map`, floats(code));
  const state: Record<string, unknown> = {
    quant_type: kind,
    blocksize: blockSize,
    dtype: 'float32',
    shape: [rows, cols],
  };
  let scales = absmax;
  if (nested) {
    const offset = f32(absmax.reduce((sum, x) => sum + x, 0) / blocks);
    const map = Float32Array.from({ length: 256 }, (_, i) => Math.sign(i - 127) * ((i - 127) / 128) ** 2);
    const outer = new Float32Array(Math.ceil(blocks / 256));
    for (let b = 0; b < blocks; b++) outer[b >> 8] = Math.max(outer[b >> 8]!, Math.abs(absmax[b]! - offset));
    const inner = Uint8Array.from(absmax, (x, b) =>
      nearest(map, outer[b >> 8] === 0 ? 0 : (x - offset) / outer[b >> 8]!),
    );
    scales = Float32Array.from(inner, (i, b) => f32(f32(map[i]! * outer[b >> 8]!) + offset));
    tensors.set(`${name}.absmax`, { dtype: 'U8', shape: [blocks], bytes: inner });
    tensors.set(`${name}.nested_absmax`, floats(outer));
    tensors.set(`${name}.nested_quant_map`, floats(map));
    Object.assign(state, { nested_blocksize: 256, nested_dtype: 'float32', nested_offset: offset });
  } else {
    tensors.set(`${name}.absmax`, floats(absmax));
  }
  const json = new TextEncoder().encode(JSON.stringify(state));
  tensors.set(`${name}.quant_state.bitsandbytes__${kind}`, { dtype: 'U8', shape: [json.length], bytes: json });
  for (const [i, nibble] of nibbles.entries()) values[i] = code[nibble]! * scales[Math.floor(i / blockSize)]!;
  return { tensors, values };
}

function halfToEven(x: number): number {
  const low = Math.floor(x);
  return x - low > 0.5 || (x - low === 0.5 && low % 2 !== 0) ? low + 1 : low;
}

export function writeSafetensors(tensors: ReadonlyMap<string, RawTensor>): Uint8Array {
  let offset = 0;
  const entries = [...tensors].map(([name, { dtype, shape, bytes }]) => {
    const begin = offset;
    offset += bytes.length;
    return [name, { dtype, shape, data_offsets: [begin, offset] }] as const;
  });
  const json = JSON.stringify(Object.fromEntries(entries));
  const head = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(head.length));
  return Buffer.concat([length, head, ...[...tensors.values()].map(({ bytes }) => bytes)]);
}

const linear = /\.(in_proj|x_proj|dt_proj|out_proj)\.weight$|^lm_head\.weight$/;

/** Every weight of a small checkpoint in one file, whatever its shards: name to stored tensor. */
export async function readModel(dir: string): Promise<{ config: string; tensors: Map<string, RawTensor> }> {
  const config = await readFile(join(dir, 'config.json'), 'utf8');
  const index = await readFile(join(dir, 'model.safetensors.index.json'), 'utf8').catch(() => null);
  const files = index === null ? ['model.safetensors'] : new Set(Object.values<string>(JSON.parse(index).weight_map));
  const tensors = new Map<string, RawTensor>();
  for (const file of files)
    for (const [name, tensor] of readSafetensors(await readFile(join(dir, file))).tensors) tensors.set(name, tensor);
  return { config, tensors };
}

/**
 * Two checkpoints from one: `quantized`, whose linear weights are in what `formatOf` says of their name (null: as they
 * are), and `plain`, with the fp32 values that those are worth.
 */
export async function writePair(
  from: string,
  to: string,
  formatOf: (name: string) => Format | null,
  change: (tensors: Map<string, RawTensor>) => void = () => {},
): Promise<{ quantized: string; plain: string }> {
  const { config, tensors } = await readModel(from);
  const quantized = new Map<string, RawTensor>();
  const plain = new Map<string, RawTensor>();
  for (const [name, tensor] of tensors) {
    const format = linear.test(name) ? formatOf(name) : null;
    if (format === null) {
      quantized.set(name, tensor);
      plain.set(name, tensor);
      continue;
    }
    const [rows, cols] = tensor.shape as [number, number];
    const encoded = encode(name, toFloat64({ ...tensor, dtype: tensor.dtype as 'F32' }), rows, cols, format);
    for (const [key, value] of encoded.tensors) quantized.set(key, value);
    plain.set(name, floats(encoded.values, [rows, cols]));
  }
  change(quantized);
  const save = async (name: string, all: Map<string, RawTensor>) => {
    const dir = join(to, name);
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, 'config.json'), config);
    await writeFile(join(dir, 'model.safetensors'), writeSafetensors(all));
    return dir;
  };
  return { quantized: await save('quantized', quantized), plain: await save('plain', plain) };
}
