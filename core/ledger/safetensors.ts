import { z } from 'zod';
import { RejectedJob } from '../contracts/errors.ts';

/**
 * The part of safetensors that a state needs: u64 little-endian header length, JSON header, then the tensors' bytes.
 * https://github.com/huggingface/safetensors#format
 *
 * Writing is deterministic: keys in the order given, `__metadata__` first, the header padded with spaces to 8 bytes.
 * Reading is strict: every byte behind the header belongs to exactly one tensor, in any order, without gap or overlap.
 */
export interface Tensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export interface TensorFile {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

const PREAMBLE_BYTES = 8;
const ALIGNMENT = 8;
const DTYPE_BYTES: Readonly<Record<string, number>> = { F32: 4, F16: 2, BF16: 2, F64: 8, I64: 8, I32: 4, I8: 1, U8: 1 };

const size = z.number().int().nonnegative();
const Entry = z.strictObject({
  dtype: z.string(),
  shape: z.array(size).max(8),
  data_offsets: z.tuple([size, size]),
});
const Header = z.object({ __metadata__: z.record(z.string(), z.string()).optional() }).catchall(Entry);

export function writeTensors(file: TensorFile): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: file.metadata };
  let offset = 0;
  for (const [name, tensor] of file.tensors) {
    const end = offset + tensor.bytes.length;
    header[name] = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const headerBytes = Math.ceil((PREAMBLE_BYTES + json.length) / ALIGNMENT) * ALIGNMENT - PREAMBLE_BYTES;
  const whole = new Uint8Array(PREAMBLE_BYTES + headerBytes + offset);
  new DataView(whole.buffer).setBigUint64(0, BigInt(headerBytes), true);
  whole.fill(0x20, PREAMBLE_BYTES, PREAMBLE_BYTES + headerBytes);
  whole.set(json, PREAMBLE_BYTES);
  let at = PREAMBLE_BYTES + headerBytes;
  for (const tensor of file.tensors.values()) {
    whole.set(tensor.bytes, at);
    at += tensor.bytes.length;
  }
  return whole;
}

/** Views into `bytes`, copied nowhere. Throws `checkpoint_corrupt`; `name` is what messages call the file. */
export function readTensors(name: string, bytes: Uint8Array, maxHeaderBytes: number): TensorFile {
  const refuse = (what: string, cause?: unknown) =>
    new RejectedJob('checkpoint_corrupt', `${name}: ${what}`, cause === undefined ? {} : { cause });
  if (bytes.length < PREAMBLE_BYTES) throw refuse(`${bytes.length} bytes are too few for a header length`);
  const stated = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  const room = Math.min(maxHeaderBytes, bytes.length - PREAMBLE_BYTES);
  if (stated > BigInt(room)) {
    throw refuse(
      `the header claims ${stated} bytes; the limit is ${maxHeaderBytes} and the file has ${bytes.length - 8} left`,
    );
  }
  const headerBytes = Number(stated);
  let json: unknown;
  try {
    const text = bytes.subarray(PREAMBLE_BYTES, PREAMBLE_BYTES + headerBytes);
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch (error) {
    throw refuse(`the header of ${headerBytes} bytes is not JSON`, error);
  }
  const parsed = Header.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw refuse(`the header is malformed at ${issue.path.join('.') || 'its top'}: ${issue.message}`);
  }
  const { __metadata__: metadata, ...entries } = parsed.data;
  const data = bytes.subarray(PREAMBLE_BYTES + headerBytes);
  const tensors = new Map<string, Tensor>();
  let reached = 0;
  const inOrder = Object.entries(entries).sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0]);
  for (const [tensor, entry] of inOrder) {
    const [begin, end] = entry.data_offsets;
    const width = DTYPE_BYTES[entry.dtype];
    if (width === undefined) throw refuse(`tensor ${tensor} has unknown dtype ${JSON.stringify(entry.dtype)}`);
    if (begin !== reached) {
      const fault = begin < reached ? 'overlaps another' : 'leaves a gap';
      throw refuse(`tensor ${tensor} ${fault}: it begins at byte ${begin}, expected ${reached}`);
    }
    const expected = entry.shape.reduce((product, n) => product * n, width);
    if (end - begin !== expected) {
      throw refuse(`tensor ${tensor} has ${end - begin} bytes; ${entry.dtype} [${entry.shape}] takes ${expected}`);
    }
    if (end > data.length) throw refuse(`tensor ${tensor} ends at byte ${end} of ${data.length}`);
    tensors.set(tensor, { dtype: entry.dtype, shape: entry.shape, bytes: data.subarray(begin, end) });
    reached = end;
  }
  if (reached !== data.length) throw refuse(`${data.length - reached} bytes belong to no tensor`);
  return { metadata: metadata ?? {}, tensors };
}
