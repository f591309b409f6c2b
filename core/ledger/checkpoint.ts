import { setImmediate as turn } from 'node:timers/promises';
import { z } from 'zod';
import { RejectedJob } from '../contracts/errors.ts';
import { type CheckpointRef, Sha256 } from '../contracts/head.ts';
import { limits } from '../contracts/limits.ts';
import { sha256 } from './digest.ts';
import type { StateTensors } from './port.ts';
import { readTensors, writeTensors } from './safetensors.ts';

/**
 * A state as plain safetensors, readable by anything that reads safetensors: F32, little-endian,
 *
 *   conv_state [n_layer, d_inner, d_conv - 1]   oldest column first
 *   ssm_state  [n_layer, d_inner, d_state]
 *
 * and string metadata that says which document position, model and tokenizer it belongs to.
 */
export const CHECKPOINT_FORMAT = 'longhaul-state/1';
const LAYOUT = 'conv_state[n_layer,d_inner,d_conv-1] ssm_state[n_layer,d_inner,d_state]';

const Count = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,15})$/)
  .transform(Number);

/** `text_cursor` and `parent_ckpt` are '' where there is none. */
const Metadata = z.strictObject({
  format: z.literal(CHECKPOINT_FORMAT),
  model_sha256: Sha256,
  tokenizer_sha256: Sha256,
  token_offset: Count,
  input_byte_offset: Count,
  text_cursor: z.string().max(limits.cursorBytes),
  chunk_grid: Count,
  dtype: z.literal('F32'),
  layout: z.literal(LAYOUT),
  engine_version: z.string().min(1).max(64),
  parent_ckpt: z.string().max(1024),
  content_sha256: Sha256,
});

/** What a checkpoint says beside its tensors. */
export interface CheckpointContext {
  readonly inputByteOffset: number;
  readonly textCursor: string | null;
  readonly chunkTokens: number;
  readonly engine: string;
  /** Key of the checkpoint before this one. */
  readonly parent: string | null;
}

export interface EncodedCheckpoint {
  readonly bytes: Uint8Array;
  /** Of the whole file. */
  readonly sha256: string;
  /** Of the tensors alone. */
  readonly stateSha256: string;
}

/** Equal states and contexts give equal bytes. A state whose arrays do not fit its shape is `state_mismatch`. */
export async function encodeCheckpoint(state: StateTensors, context: CheckpointContext): Promise<EncodedCheckpoint> {
  const { nLayer, dInner, dConv, dState } = state.shape;
  const convShape = [nLayer, dInner, dConv - 1];
  const ssmShape = [nLayer, dInner, dState];
  checkLength('conv_state', state.conv, convShape);
  checkLength('ssm_state', state.ssm, ssmShape);
  const conv = rawBytes(state.conv);
  const ssm = rawBytes(state.ssm);
  const stateSha256 = (await sha256(conv, ssm)).toString('hex');
  const metadata: Record<keyof z.input<typeof Metadata>, string> = {
    format: CHECKPOINT_FORMAT,
    model_sha256: state.modelDigest,
    tokenizer_sha256: state.tokenizerDigest,
    token_offset: String(state.tokenOffset),
    input_byte_offset: String(context.inputByteOffset),
    text_cursor: context.textCursor ?? '',
    chunk_grid: String(context.chunkTokens),
    dtype: 'F32',
    layout: LAYOUT,
    engine_version: context.engine,
    parent_ckpt: context.parent ?? '',
    content_sha256: stateSha256,
  };
  const bytes = writeTensors({
    metadata,
    tensors: new Map([
      ['conv_state', { dtype: 'F32', shape: convShape, bytes: conv }],
      ['ssm_state', { dtype: 'F32', shape: ssmShape, bytes: ssm }],
    ]),
  });
  return { bytes, sha256: (await sha256(bytes)).toString('hex'), stateSha256 };
}

export interface DecodedCheckpoint {
  readonly state: StateTensors;
  readonly stateSha256: string;
  readonly inputByteOffset: number;
  readonly textCursor: string | null;
  readonly chunkTokens: number;
  readonly engine: string;
  readonly parent: string | null;
}

/**
 * Checks everything before a number is used: structure, format, shapes, digests, and that every number is finite.
 * With `ref`, size, digest and position must be those that the head names. Throws `checkpoint_corrupt`.
 */
export async function decodeCheckpoint(
  name: string,
  bytes: Uint8Array,
  ref: CheckpointRef | null,
): Promise<DecodedCheckpoint> {
  const differs = (what: string, expected: unknown, found: unknown) =>
    new RejectedJob('checkpoint_corrupt', `${name}: ${what}: expected ${expected}, found ${found}`);
  if (ref !== null) {
    if (bytes.length !== ref.bytes) throw differs('size in bytes', ref.bytes, bytes.length);
    const found = (await sha256(bytes)).toString('hex');
    if (found !== ref.sha256) throw differs('sha256 of the file', ref.sha256, found);
  }
  const file = readTensors(name, bytes, limits.checkpointHeaderBytes);
  const format = file.metadata['format'] ?? 'none';
  if (format !== CHECKPOINT_FORMAT) throw differs('format', CHECKPOINT_FORMAT, JSON.stringify(format));
  const parsed = Metadata.safeParse(file.metadata);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new RejectedJob('checkpoint_corrupt', `${name}: metadata ${issue.path.join('.')}: ${issue.message}`);
  }
  const metadata = parsed.data;
  const names = [...file.tensors.keys()].sort().join(', ');
  if (names !== 'conv_state, ssm_state') throw differs('tensors', 'conv_state, ssm_state', names);
  const conv = file.tensors.get('conv_state')!;
  const ssm = file.tensors.get('ssm_state')!;
  for (const [tensor, { dtype, shape }] of file.tensors) {
    if (dtype !== 'F32') throw differs(`dtype of ${tensor}`, 'F32', dtype);
    if (shape.length !== 3) throw differs(`dimensions of ${tensor}`, 3, `[${shape}]`);
  }
  const [nLayer, dInner, columns] = conv.shape as [number, number, number];
  const dState = ssm.shape[2]!;
  if (ssm.shape[0] !== nLayer || ssm.shape[1] !== dInner) {
    throw differs('shape of ssm_state', `[${nLayer},${dInner},d_state]`, `[${ssm.shape}]`);
  }
  const stateSha256 = (await sha256(conv.bytes, ssm.bytes)).toString('hex');
  if (stateSha256 !== metadata.content_sha256) throw differs('content_sha256', metadata.content_sha256, stateSha256);
  if (ref !== null && stateSha256 !== ref.stateSha256) throw differs('state sha256', ref.stateSha256, stateSha256);
  if (ref !== null && metadata.token_offset !== ref.tokenOffset) {
    throw differs('token_offset', ref.tokenOffset, metadata.token_offset);
  }
  const state: StateTensors = {
    conv: await finiteFloats(name, 'conv_state', conv.bytes),
    ssm: await finiteFloats(name, 'ssm_state', ssm.bytes),
    shape: { nLayer, dInner, dConv: columns + 1, dState },
    tokenOffset: metadata.token_offset,
    modelDigest: metadata.model_sha256,
    tokenizerDigest: metadata.tokenizer_sha256,
  };
  return {
    state,
    stateSha256,
    inputByteOffset: metadata.input_byte_offset,
    textCursor: metadata.text_cursor === '' ? null : metadata.text_cursor,
    chunkTokens: metadata.chunk_grid,
    engine: metadata.engine_version,
    parent: metadata.parent_ckpt === '' ? null : metadata.parent_ckpt,
  };
}

function checkLength(tensor: string, values: Float32Array, shape: readonly number[]): void {
  const expected = shape.reduce((product, n) => product * n, 1);
  if (values.length === expected) return;
  throw new RejectedJob('state_mismatch', `${tensor} has ${values.length} floats; [${shape}] takes ${expected}`);
}

/** Every platform that Node runs the engine on is little-endian, as the format is. */
function rawBytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

const SCAN_FLOATS = 1 << 20;
const EXPONENT = 0x7f800000;

/** A copy, since a view at an odd offset cannot be read as floats. NaN and infinity have all exponent bits set. */
async function finiteFloats(name: string, tensor: string, bytes: Uint8Array): Promise<Float32Array> {
  // Not `slice`: of a Buffer that is a view.
  const copy = new Uint8Array(bytes);
  const words = new Uint32Array(copy.buffer);
  for (let begin = 0; begin < words.length; begin += SCAN_FLOATS) {
    if (begin > 0) await turn();
    const end = Math.min(words.length, begin + SCAN_FLOATS);
    for (let i = begin; i < end; i++) {
      if ((words[i]! & EXPONENT) === EXPONENT) {
        const found = new Float32Array(copy.buffer)[i];
        throw new RejectedJob(
          'checkpoint_corrupt',
          `${name}: ${tensor}[${i}] is ${found}; every number must be finite`,
        );
      }
    }
  }
  return new Float32Array(copy.buffer);
}
