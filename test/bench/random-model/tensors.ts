// The tensors of a random FalconMamba: names on both sides, shapes, and values as a function of name and index alone.
import type { Shape } from '../cases.ts';

export interface RandomTensor {
  /** In a Hugging Face checkpoint, and in GGUF. */
  readonly name: string;
  readonly gguf: string;
  readonly shape: readonly number[];
  /** GGUF keeps it as f32 in every file. */
  readonly small: boolean;
  readonly kind: 'weight' | 'norm' | 'A_log' | 'dt_bias';
  readonly scale: number;
}

export function tensorsOf(s: Shape): RandomTensor[] {
  const all: RandomTensor[] = [];
  const add = (name: string, gguf: string, shape: number[], kind: RandomTensor['kind'], scale: number, small = false) =>
    all.push({ name, gguf, shape, small, kind, scale });
  const { dModel, dInner, dState, dConv, dtRank, vocabSize } = s;
  add('backbone.embeddings.weight', 'token_embd.weight', [vocabSize, dModel], 'weight', 1);
  for (let i = 0; i < s.nLayer; i++) {
    const mixer = `backbone.layers.${i}.mixer`;
    add(`backbone.layers.${i}.norm.weight`, `blk.${i}.attn_norm.weight`, [dModel], 'norm', 0.1, true);
    add(`${mixer}.in_proj.weight`, `blk.${i}.ssm_in.weight`, [2 * dInner, dModel], 'weight', dModel ** -0.5);
    add(`${mixer}.conv1d.weight`, `blk.${i}.ssm_conv1d.weight`, [dInner, 1, dConv], 'weight', dConv ** -0.5, true);
    add(`${mixer}.conv1d.bias`, `blk.${i}.ssm_conv1d.bias`, [dInner], 'weight', 0.1, true);
    add(`${mixer}.x_proj.weight`, `blk.${i}.ssm_x.weight`, [dtRank + 2 * dState, dInner], 'weight', dInner ** -0.5);
    add(`${mixer}.dt_proj.weight`, `blk.${i}.ssm_dt.weight`, [dInner, dtRank], 'weight', dtRank ** -0.5);
    add(`${mixer}.dt_proj.bias`, `blk.${i}.ssm_dt.bias`, [dInner], 'dt_bias', 0, true);
    add(`${mixer}.A_log`, `blk.${i}.ssm_a`, [dInner, dState], 'A_log', 0.05, true);
    add(`${mixer}.D`, `blk.${i}.ssm_d`, [dInner], 'norm', 0.2, true);
    add(`${mixer}.out_proj.weight`, `blk.${i}.ssm_out.weight`, [dModel, dInner], 'weight', dInner ** -0.5);
  }
  add('backbone.norm_f.weight', 'output_norm.weight', [dModel], 'norm', 0.1, true);
  add('lm_head.weight', 'output.weight', [vocabSize, dModel], 'weight', 2 * dModel ** -0.5);
  return all;
}

export const elements = (tensor: RandomTensor): number => tensor.shape.reduce((product, n) => product * n, 1);

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** The nearest bf16, half to even. */
function toBf16(value: number): number {
  float[0] = value;
  const bits = word[0]!;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** bf16 values of elements [start, start + out.length). */
export function fill(tensor: RandomTensor, start: number, out: Uint16Array): void {
  let seed = 0x811c9dc5;
  for (const char of tensor.name) seed = Math.imul(seed ^ char.charCodeAt(0), 0x01000193);
  const last = tensor.shape.at(-1)!;
  const scale = tensor.scale * Math.sqrt(3);
  for (let i = 0; i < out.length; i++) {
    // MurmurHash3's finalizer over the index.
    let x = Math.imul(start + i + 1, 0x9e3779b1) ^ seed;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    const u = (x ^ (x >>> 16)) * 2 ** -31;
    let value = u * scale;
    if (tensor.kind === 'norm') value = 1 + u * tensor.scale;
    else if (tensor.kind === 'A_log') value = Math.log(((start + i) % last) + 1) + u * tensor.scale;
    else if (tensor.kind === 'dt_bias') {
      // Inverse softplus of a step between 0.001 and 0.1.
      const dt = Math.exp(((u + 1) / 2) * Math.log(100) + Math.log(0.001));
      value = dt + Math.log(-Math.expm1(-dt));
    }
    out[i] = toBf16(value);
  }
}

/** bf16 bits to their values. */
export function widen(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  return new Float32Array(words.buffer);
}
