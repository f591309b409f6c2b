import { z } from 'zod';

/** One tensor as stored: little-endian, row-major. */
export interface StoredTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export interface TensorFile {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>> | null;
}

const bytesOf = { F64: 8, I64: 8, F32: 4, F16: 2, BF16: 2 } as const;
export type Dtype = keyof typeof bytesOf;

const Entry = z.strictObject({
  dtype: z.enum(['F64', 'I64', 'F32', 'F16', 'BF16']),
  shape: z.array(z.number().int().nonnegative()),
  data_offsets: z.tuple([z.number().int().nonnegative(), z.number().int().nonnegative()]),
});

const Header = z.record(z.string(), z.unknown());

/** Reads the safetensors layout: u64 header length, JSON header, data. Throws on a file whose parts do not fit. */
export function readSafetensors(file: Uint8Array): TensorFile {
  if (file.byteLength < 8) throw new Error(`a safetensors file has at least 8 bytes, found ${file.byteLength}`);
  const headerBytes = Number(new DataView(file.buffer, file.byteOffset, 8).getBigUint64(0, true));
  if (headerBytes > file.byteLength - 8) {
    throw new Error(`the safetensors header claims ${headerBytes} bytes, the file has ${file.byteLength}`);
  }
  const text = new TextDecoder('utf-8', { fatal: true }).decode(file.subarray(8, 8 + headerBytes));
  const header = Header.parse(JSON.parse(text));
  const tensors = new Map<string, StoredTensor>();
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const entry = Entry.parse(value);
    const [from, to] = entry.data_offsets;
    const bytes = file.subarray(8 + headerBytes + from, 8 + headerBytes + to);
    const expected = count(entry.shape) * bytesOf[entry.dtype];
    if (bytes.byteLength !== expected || to - from !== expected) {
      throw new Error(`tensor ${name} needs ${expected} bytes by its shape, found ${bytes.byteLength}`);
    }
    tensors.set(name, { dtype: entry.dtype, shape: entry.shape, bytes });
  }
  const metadata = header['__metadata__'];
  return { tensors, metadata: metadata === undefined ? null : z.record(z.string(), z.string()).parse(metadata) };
}

/** Writes tensors in the given order; the header is padded with spaces to a multiple of 8 bytes. */
export function writeSafetensors(file: TensorFile): Uint8Array {
  const header: Record<string, unknown> = {};
  if (file.metadata !== null) header['__metadata__'] = file.metadata;
  let offset = 0;
  for (const [name, { dtype, shape, bytes }] of file.tensors) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.byteLength] };
    offset += bytes.byteLength;
  }
  let head = new TextEncoder().encode(JSON.stringify(header));
  const padding = (8 - (head.byteLength % 8)) % 8;
  head = new Uint8Array([...head, ...new Array<number>(padding).fill(0x20)]);
  const out = new Uint8Array(8 + head.byteLength + offset);
  new DataView(out.buffer).setBigUint64(0, BigInt(head.byteLength), true);
  out.set(head, 8);
  let at = 8 + head.byteLength;
  for (const { bytes } of file.tensors.values()) {
    out.set(bytes, at);
    at += bytes.byteLength;
  }
  return out;
}

/** The values as f64, exactly: every stored type except a large I64 fits. */
export function toFloat64(tensor: StoredTensor): Float64Array {
  const view = new DataView(tensor.bytes.buffer, tensor.bytes.byteOffset, tensor.bytes.byteLength);
  const out = new Float64Array(count(tensor.shape));
  const read = readers[tensor.dtype];
  for (let i = 0; i < out.length; i++) out[i] = read(view, i);
  return out;
}

/** Integer values (ids, positions). */
export function toInt32(tensor: StoredTensor): Int32Array {
  return Int32Array.from(toFloat64(tensor));
}

export function count(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

const readers: Record<Dtype, (view: DataView, i: number) => number> = {
  F64: (v, i) => v.getFloat64(8 * i, true),
  I64: (v, i) => Number(v.getBigInt64(8 * i, true)),
  F32: (v, i) => v.getFloat32(4 * i, true),
  F16: (v, i) => halfToNumber(v.getUint16(2 * i, true)),
  BF16: (v, i) => {
    scratch.setUint32(0, v.getUint16(2 * i, true) << 16);
    return scratch.getFloat32(0);
  },
};
const scratch = new DataView(new ArrayBuffer(4));

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}
