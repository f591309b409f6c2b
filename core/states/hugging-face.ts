import { sha256 } from '../ledger/digest.ts';
import type { StateTensors } from '../ledger/port.ts';
import { writeTensors } from '../ledger/safetensors.ts';

export const HUGGING_FACE_FORMAT = 'falcon-mamba-cache/1';

/**
 * A state in the layout of Hugging Face transformers' cache for Mamba and FalconMamba, as safetensors: F32, little-endian,
 *
 *   conv_states [n_layer, 1, d_inner, d_conv]   newest column last; the oldest one is 0
 *   ssm_states  [n_layer, 1, d_inner, d_state]
 *
 * so that `[layer]` is a layer's own tensor, with a batch of one. That cache keeps d_conv inputs of the convolution. A step
 * rolls them by one before it reads any, so the oldest of them is never read again: ours has d_conv - 1.
 */
export async function huggingFaceCache(state: StateTensors): Promise<Uint8Array> {
  const { nLayer, dInner, dConv, dState } = state.shape;
  const conv = rawBytes(convStateToHuggingFace(state.conv, nLayer * dInner, dConv));
  const ssm = rawBytes(state.ssm);
  return writeTensors({
    metadata: {
      format: HUGGING_FACE_FORMAT,
      model_sha256: state.modelDigest,
      tokenizer_sha256: state.tokenizerDigest,
      token_offset: String(state.tokenOffset),
      dtype: 'F32',
      layout: 'conv_states[n_layer,1,d_inner,d_conv] ssm_states[n_layer,1,d_inner,d_state]',
      content_sha256: (await sha256(conv, ssm)).toString('hex'),
    },
    tensors: new Map([
      ['conv_states', { dtype: 'F32', shape: [nLayer, 1, dInner, dConv], bytes: conv }],
      ['ssm_states', { dtype: 'F32', shape: [nLayer, 1, dInner, dState], bytes: ssm }],
    ]),
  });
}

/** values (rows × (d_conv - 1)), oldest column first -> (rows × d_conv) with a column of zeros before them. */
export function convStateToHuggingFace(values: Float32Array, rows: number, dConv: number): Float32Array {
  const kept = dConv - 1;
  const out = new Float32Array(rows * dConv);
  for (let row = 0; row < rows; row++) out.set(values.subarray(row * kept, (row + 1) * kept), row * dConv + 1);
  return out;
}

function rawBytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
