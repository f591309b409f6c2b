// bitsandbytes' quantized tensors, recognised one by one by the keys beside them and checked before the engine sees them.
//
//   8 bit   P.weight I8 [N, K] · P.SCB F32 [N] · P.weight_format U8, 0 = row-major
//   4 bit   P.weight, n/2 bytes in any storage dtype · .absmax F32 [blocks], or U8 with .nested_absmax F32 and
//           .nested_quant_map F32 [256] · .quant_map F32 [16] · .quant_state.bitsandbytes__nf4 | __fp4: JSON
//
// Source: bitsandbytes (functional.py QuantState, nn/modules.py Linear8bitLt).
import { type FileHandle, open } from 'node:fs/promises';
import { z } from 'zod';
import { type Delivery, ready } from './delivery.ts';
import { EngineError } from './errors.ts';
import type { Tensor } from './safetensors.ts';

/** Bytes of one of the checkpoint's files. */
export interface StoredRange {
  readonly file: number;
  readonly offset: number;
  readonly bytes: number;
}

export type Quantization =
  /** W = q scale[row] / 127. */
  | { readonly kind: 'int8'; readonly scales: StoredRange }
  /** W = code[nibble] scale[flat / blockSize], the high nibble first. */
  | {
      readonly kind: 'code4';
      /** F32, or U8 when nested. */
      readonly scales: StoredRange;
      readonly blockSize: number;
      /** [16] */
      readonly code: Float32Array;
      /** scale = map[u8] absmax[block / blockSize] + offset. */
      readonly nested: {
        readonly scales: StoredRange;
        readonly blockSize: number;
        readonly map: Float32Array;
        readonly offset: number;
      } | null;
    };

export interface WeightFiles {
  readonly paths: readonly string[];
  readonly delivery: Delivery;
}

export type StoredTensor = Tensor & { readonly file: number };

const blockSizes = [32, 64, 128, 256, 512, 1024, 2048, 4096] as const;
const stateKeyBytes = 4096;
const blockSize = z.union(blockSizes.map((n) => z.literal(n)));

const QuantState = z.object({
  quant_type: z.enum(['nf4', 'fp4']),
  blocksize: blockSize,
  dtype: z.enum(['float32', 'float16', 'bfloat16']),
  shape: z.array(z.int().positive()).length(2),
  nested_blocksize: z.int().min(32).max(4096).optional(),
  nested_dtype: z.literal('float32').optional(),
  nested_offset: z.number().optional(),
});

/**
 * The quantization of tensor `name` of logical shape (rows, cols), or null when it is stored in floating point. Takes the
 * keys that belong to it out of `stored`. Throws `model_corrupt` or `model_unsupported`, naming key, expected and found.
 */
export async function readQuantization(
  files: WeightFiles,
  stored: Map<string, StoredTensor>,
  name: string,
  tensor: StoredTensor,
  rows: number,
  cols: number,
): Promise<Quantization | null> {
  const path = files.paths[tensor.file] ?? '';
  const take = (key: string): StoredTensor | null => {
    const found = stored.get(key) ?? null;
    stored.delete(key);
    return found;
  };
  const module = name.replace(/\.weight$/, '');
  const scb = take(`${module}.SCB`);
  if (scb) {
    const format = take(`${module}.weight_format`);
    expect(path, name, tensor, 'I8', [rows, cols]);
    expect(path, `${module}.SCB`, scb, 'F32', [rows]);
    if (format) {
      if (format.dtype !== 'U8' || format.bytes !== 1)
        throw corrupt(path, `${module}.weight_format must be one U8, found ${format.dtype} [${format.shape}]`);
      const value = (await readRange(files, format))[0];
      if (value !== 0)
        throw new EngineError(
          'model_unsupported',
          `${path}: ${module}.weight_format must be 0 (row-major), found ${value}`,
        );
    }
    return { kind: 'int8', scales: rangeOf(scb) };
  }

  const states = [...stored.keys()].filter((key) => key.startsWith(`${name}.quant_state.`));
  if (states.length === 0) return null;
  const stateKey = states[0]!;
  if (states.length > 1 || !/\.bitsandbytes__(nf4|fp4)$/.test(stateKey))
    throw new EngineError(
      'model_unsupported',
      `${path}: ${name} must have one quant_state of bitsandbytes__nf4 or __fp4, found ${states.join(', ')}`,
    );
  const state = await readState(files, path, stateKey, take(stateKey)!);
  if (!stateKey.endsWith(`__${state.quant_type}`))
    throw corrupt(path, `${stateKey} must say quant_type as its name does, found ${state.quant_type}`);
  if (state.shape[0] !== rows || state.shape[1] !== cols)
    throw corrupt(path, `${stateKey}: shape must be [${rows},${cols}] by config.json, found [${state.shape}]`);

  const n = rows * cols;
  const packed = Math.ceil(n / 2);
  if (!['U8', 'BF16', 'F16', 'F32'].includes(tensor.dtype) || tensor.bytes !== packed)
    throw corrupt(path, `${name} must hold ${packed} bytes of 4-bit codes, found ${tensor.dtype} of ${tensor.bytes}`);
  const blocks = Math.ceil(n / state.blocksize);
  const absmaxKey = `${name}.absmax`;
  const absmax = required(path, absmaxKey, take(absmaxKey));
  const mapKey = `${name}.quant_map`;
  const map = required(path, mapKey, take(mapKey));
  expect(path, mapKey, map, 'F32', [16]);
  const code = await readFloats(files, path, mapKey, map);
  const nestedAbsmax = take(`${name}.nested_absmax`);
  const nestedMap = take(`${name}.nested_quant_map`);
  const base = { kind: 'code4', scales: rangeOf(absmax), blockSize: state.blocksize, code } as const;
  if (state.nested_blocksize === undefined) {
    if (nestedAbsmax || nestedMap)
      throw corrupt(path, `${stateKey} names no nested_blocksize, but nested scales are stored`);
    expect(path, absmaxKey, absmax, 'F32', [blocks]);
    return { ...base, nested: null };
  }
  expect(path, absmaxKey, absmax, 'U8', [blocks]);
  const outer = required(path, `${name}.nested_absmax`, nestedAbsmax);
  expect(path, `${name}.nested_absmax`, outer, 'F32', [Math.ceil(blocks / state.nested_blocksize)]);
  const table = required(path, `${name}.nested_quant_map`, nestedMap);
  expect(path, `${name}.nested_quant_map`, table, 'F32', [256]);
  if (state.nested_offset === undefined) throw corrupt(path, `${stateKey}: nested_offset is missing`);
  return {
    ...base,
    nested: {
      scales: rangeOf(outer),
      blockSize: state.nested_blocksize,
      map: await readFloats(files, path, `${name}.nested_quant_map`, table),
      offset: state.nested_offset,
    },
  };
}

async function readState(
  files: WeightFiles,
  path: string,
  key: string,
  tensor: StoredTensor,
): Promise<z.infer<typeof QuantState>> {
  if (tensor.dtype !== 'U8' || tensor.bytes > stateKeyBytes)
    throw corrupt(
      path,
      `${key} must be at most ${stateKeyBytes} bytes of U8, found ${tensor.dtype} of ${tensor.bytes}`,
    );
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(await readRange(files, tensor)));
  } catch (cause) {
    if (cause instanceof EngineError) throw cause;
    throw corrupt(path, `${key} is not JSON: ${(cause as Error).message}`, cause);
  }
  const parsed = QuantState.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw corrupt(path, `${key}: ${issue?.path.join('.')}: ${issue?.message}`, parsed.error);
}

async function readFloats(files: WeightFiles, path: string, key: string, tensor: StoredTensor): Promise<Float32Array> {
  const bytes = await readRange(files, tensor);
  const values = new Float32Array(bytes.length / 4);
  for (let i = 0; i < values.length; i += 1) values[i] = bytes.readFloatLE(4 * i);
  const at = values.findIndex((value) => !Number.isFinite(value) || Math.abs(value) > 1e6);
  if (at >= 0) throw corrupt(path, `${key}[${at}] must be a finite number of at most 1e6, found ${values[at]}`);
  return values;
}

async function readRange({ paths, delivery }: WeightFiles, tensor: StoredTensor): Promise<Buffer> {
  const path = paths[tensor.file] ?? '';
  await ready(delivery, path, tensor.offset, tensor.offset + tensor.bytes);
  const out = Buffer.alloc(tensor.bytes);
  let file: FileHandle | null = null;
  try {
    file = await open(path, 'r');
    const { bytesRead } = await file.read(out, 0, out.length, tensor.offset);
    if (bytesRead !== out.length) throw corrupt(path, `the file ended while it was read`);
    return out;
  } finally {
    await file?.close();
  }
}

function rangeOf(tensor: StoredTensor): StoredRange {
  return { file: tensor.file, offset: tensor.offset, bytes: tensor.bytes };
}

function required(path: string, key: string, tensor: StoredTensor | null): StoredTensor {
  if (!tensor) throw new EngineError('model_incomplete', `${path}: ${key} is missing`);
  return tensor;
}

function expect(path: string, key: string, tensor: StoredTensor, dtype: string, shape: readonly number[]): void {
  const same = tensor.shape.length === shape.length && tensor.shape.every((n, i) => n === shape[i]);
  if (tensor.dtype !== dtype || !same)
    throw corrupt(path, `${key} must be ${dtype} [${shape}], found ${tensor.dtype} [${tensor.shape}]`);
}

function corrupt(path: string, problem: string, cause?: unknown): EngineError {
  return new EngineError('model_corrupt', `${path}: ${problem}`, cause === undefined ? undefined : { cause });
}
