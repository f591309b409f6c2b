// The header of a safetensors file: 8 bytes of length (little endian), JSON, then the data it describes.
import { open } from 'node:fs/promises';
import { z } from 'zod';
import { type Delivery, nothingKnown, ready } from './delivery.ts';
import { EngineError } from './errors.ts';

/** The format's own limit. */
const maxHeaderBytes = 100_000_000;

/** Bits of one element. */
const dtypeBits: Readonly<Record<string, number>> = {
  BOOL: 8, U8: 8, I8: 8, F8_E4M3: 8, F8_E5M2: 8, F8_E8M0: 8, U16: 16, I16: 16, F16: 16, BF16: 16,
  U32: 32, I32: 32, F32: 32, U64: 64, I64: 64, F64: 64, C64: 64, F4: 4, F6_E2M3: 6, F6_E3M2: 6,
}; // biome-ignore format: a table

const Entry = z.object({
  dtype: z.string(),
  shape: z.array(z.int().nonnegative()),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
});

export interface Tensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

/** Reads and checks a header. Whatever the file holds, the outcome is tensors inside it or `model_corrupt`. */
export async function readSafetensorsHeader(
  path: string,
  delivery: Delivery = nothingKnown,
): Promise<Map<string, Tensor>> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    if (size < 8) throw corrupt(path, `a safetensors file has at least 8 bytes, found ${size}`);
    await ready(delivery, path, 0, 8);
    const prefix = Buffer.alloc(8);
    await file.read(prefix, 0, 8, 0);
    const length = prefix.readBigUInt64LE();
    if (length > BigInt(maxHeaderBytes))
      throw corrupt(path, `the header may have at most ${maxHeaderBytes} bytes, found a length of ${length}`);
    if (length > BigInt(size - 8))
      throw corrupt(path, `the header of ${length} bytes does not fit into a file of ${size} bytes`);
    await ready(delivery, path, 8, 8 + Number(length));
    const header = Buffer.alloc(Number(length));
    const { bytesRead } = await file.read(header, 0, header.length, 8);
    if (bytesRead !== header.length) throw corrupt(path, `the file ended while its header was read`);
    return parseHeader(path, header, size);
  } finally {
    await file.close();
  }
}

function parseHeader(path: string, header: Buffer, fileBytes: number): Map<string, Tensor> {
  const text = decode(path, header);
  const raw = parseJson(path, text);
  const duplicate = duplicateKey(text);
  if (duplicate !== null) throw corrupt(path, `the header names ${duplicate} twice`);

  const dataStart = 8 + header.length;
  const dataBytes = fileBytes - dataStart;
  const tensors = new Map<string, Tensor>();
  for (const [name, value] of Object.entries(raw)) {
    if (name === '__metadata__') continue;
    tensors.set(name, tensorOf(path, name, value, dataStart, dataBytes));
  }
  // The format leaves no gaps: every byte belongs to exactly one tensor.
  let end = dataStart;
  for (const [name, tensor] of [...tensors].sort((a, b) => a[1].offset - b[1].offset || a[1].bytes - b[1].bytes)) {
    if (tensor.offset !== end)
      throw corrupt(path, `tensor ${name} begins at byte ${tensor.offset}, but the one before it ends at ${end}`);
    end += tensor.bytes;
  }
  if (end !== fileBytes) throw corrupt(path, `the tensors end at byte ${end}, the file at ${fileBytes}`);
  return tensors;
}

function tensorOf(path: string, name: string, value: unknown, dataStart: number, dataBytes: number): Tensor {
  const entry = Entry.safeParse(value);
  if (!entry.success) {
    const issue = entry.error.issues[0];
    throw corrupt(path, `tensor ${name}: ${issue?.path.join('.')}: ${issue?.message}`);
  }
  const { dtype, shape, data_offsets } = entry.data;
  const [begin, end] = data_offsets;
  const bits = Object.hasOwn(dtypeBits, dtype) ? dtypeBits[dtype] : undefined;
  if (bits === undefined) throw corrupt(path, `tensor ${name} has the unknown dtype ${JSON.stringify(dtype)}`);
  if (begin > end || end > dataBytes)
    throw corrupt(path, `tensor ${name} lies at [${begin}, ${end}) of ${dataBytes} bytes of data`);
  const expected = (shape.reduce((product, n) => product * n, 1) * bits) / 8;
  if (!Number.isSafeInteger(expected) || expected !== end - begin)
    throw corrupt(path, `tensor ${name} (${dtype} [${shape}]) takes ${expected} bytes, found ${end - begin}`);
  return { dtype, shape, offset: dataStart + begin, bytes: end - begin };
}

function decode(path: string, header: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(header);
  } catch (cause) {
    throw corrupt(path, 'the header is not UTF-8', cause);
  }
}

function parseJson(path: string, text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw corrupt(path, `the header is not JSON: ${(cause as Error).message}`, cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw corrupt(path, 'the header is not a JSON object');
  return value as Record<string, unknown>;
}

/** The first key that occurs twice at the top level of well-formed JSON, which JSON.parse would let the last one win. */
function duplicateKey(text: string): string | null {
  const seen = new Set<string>();
  let depth = 0;
  for (const match of text.matchAll(/"(?:[^"\\]|\\.)*"(?=\s*(:?))|[{}[\]]/g)) {
    const token = match[0];
    if (token === '{' || token === '[') depth += 1;
    else if (token === '}' || token === ']') depth -= 1;
    else if (depth === 1 && match[1] === ':') {
      if (seen.has(JSON.parse(token))) return token;
      seen.add(JSON.parse(token));
    }
  }
  return null;
}

function corrupt(path: string, problem: string, cause?: unknown): EngineError {
  return new EngineError('model_corrupt', `${path}: ${problem}`, cause === undefined ? undefined : { cause });
}
