// The header of a GGUF file in llama.cpp's `mamba` architecture, with the norms of dt, B and C that FalconMamba has.
import type { Shape } from '../cases.ts';
import { type GgufType, ggufTypes } from './gguf-types.ts';
import { elements, type RandomTensor } from './tensors.ts';

export type GgufFormat = 'bf16' | 'Q8_0' | 'Q4_0';
const fileTypes: Readonly<Record<GgufFormat, number>> = { bf16: 32, Q8_0: 7, Q4_0: 2 };
const alignment = 32;

/** As llama-quantize chooses: f16 where rows are no whole blocks, and Q6_K for the head of a Q4_0 file. */
export function ggufTypeOf(tensor: RandomTensor, format: GgufFormat): GgufType {
  if (tensor.small) return ggufTypes.f32;
  const type = format === 'Q4_0' && tensor.gguf === 'output.weight' ? ggufTypes.Q6_K : ggufTypes[format];
  return tensor.shape.at(-1)! % type.block === 0 ? type : ggufTypes.f16;
}

const u32 = (value: number) => {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value);
  return out;
};
const u64 = (value: number) => {
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(BigInt(value));
  return out;
};
const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
const f32 = (value: number) => {
  const out = Buffer.alloc(4);
  out.writeFloatLE(value);
  return out;
};

export const padTo = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;

/** Everything before the first tensor; tensors follow in order, each padded to 32 bytes. */
export function ggufHeader(shape: Shape, tensors: readonly RandomTensor[], format: GgufFormat, name: string): Buffer {
  const [number, signed, real, bool, string] = [4, 5, 6, 7, 8];
  const keys: Buffer[] = [];
  const key = (key: string, type: number, value: Buffer) => keys.push(Buffer.concat([text(key), u32(type), value]));
  key('general.architecture', string, text('mamba'));
  key('general.name', string, text(name));
  key('general.alignment', number, u32(alignment));
  key('general.file_type', number, u32(fileTypes[format]));
  key('general.quantization_version', number, u32(2));
  key('mamba.context_length', number, u32(1 << 20));
  key('mamba.embedding_length', number, u32(shape.dModel));
  key('mamba.feed_forward_length', number, u32(0));
  key('mamba.attention.head_count', number, u32(0));
  key('mamba.block_count', number, u32(shape.nLayer));
  key('mamba.vocab_size', number, u32(shape.vocabSize));
  key('mamba.ssm.conv_kernel', number, u32(shape.dConv));
  key('mamba.ssm.inner_size', number, u32(shape.dInner));
  key('mamba.ssm.state_size', number, u32(shape.dState));
  key('mamba.ssm.time_step_rank', number, u32(shape.dtRank));
  key('mamba.attention.layer_norm_rms_epsilon', real, f32(1e-5));
  key('mamba.ssm.dt_b_c_rms', bool, Buffer.of(1));
  // Nothing is ever tokenized, but node-llama-cpp asks for a vocabulary: single bytes, then names.
  const array = 9;
  const list = (type: number, items: readonly Buffer[]) => Buffer.concat([u32(type), u64(items.length), ...items]);
  const names = Array.from({ length: shape.vocabSize }, (_, id) =>
    text(id < 94 ? String.fromCharCode(33 + id) : `t${id}`),
  );
  key('tokenizer.ggml.model', string, text('gpt2'));
  key('tokenizer.ggml.pre', string, text('gpt-2'));
  key('tokenizer.ggml.tokens', array, list(string, names));
  key('tokenizer.ggml.token_type', array, list(signed, Array(shape.vocabSize).fill(u32(1))));
  key('tokenizer.ggml.merges', array, list(string, [text('a b')]));
  key('tokenizer.ggml.bos_token_id', number, u32(11));
  key('tokenizer.ggml.eos_token_id', number, u32(11));

  let offset = 0;
  const infos = tensors.map((tensor) => {
    const type = ggufTypeOf(tensor, format);
    const dims = tensor.gguf.includes('conv1d.weight') ? tensor.shape.filter((n) => n !== 1) : tensor.shape;
    const info = Buffer.concat([
      text(tensor.gguf),
      u32(dims.length),
      ...[...dims].reverse().map(u64),
      u32(type.id),
      u64(offset),
    ]);
    offset += padTo((elements(tensor) / type.block) * type.bytes);
    return info;
  });
  const head = Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(keys.length), ...keys, ...infos]);
  return Buffer.concat([head, Buffer.alloc(padTo(head.length) - head.length)]);
}
