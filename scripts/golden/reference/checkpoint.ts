import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readSafetensors, toFloat64 } from '../safetensors.ts';

/** Hugging Face's defaults for keys that config.json leaves out (FalconMambaConfig, transformers 4.45). */
const Config = z.looseObject({
  vocab_size: z.number().int().default(50280),
  hidden_size: z.number().int().default(768),
  intermediate_size: z.number().int().optional(),
  expand: z.number().default(2),
  state_size: z.number().int().default(16),
  num_hidden_layers: z.number().int().default(32),
  conv_kernel: z.number().int().default(4),
  time_step_rank: z.union([z.number().int(), z.literal('auto')]).default('auto'),
  layer_norm_epsilon: z.number().default(1e-5),
  mixer_rms_eps: z.number().default(1e-6),
  use_bias: z.boolean().default(false),
  use_conv_bias: z.boolean().default(true),
  tie_word_embeddings: z.boolean().default(true),
});

export interface ReferenceLayer {
  /** (d_model) */
  norm: Float64Array;
  /** (2 d_inner × d_model), rows: x then gate */
  inProj: Float64Array;
  /** (2 d_inner), zeros where the model has none */
  inProjBias: Float64Array;
  /** (d_inner × d_conv), column d_conv − 1 meets the newest input */
  conv: Float64Array;
  convBias: Float64Array;
  /** (dt_rank + 2 d_state × d_inner), rows: dt, B, C */
  xProj: Float64Array;
  /** (d_inner × dt_rank) */
  dtProj: Float64Array;
  dtBias: Float64Array;
  /** (d_inner × d_state) */
  aLog: Float64Array;
  /** (d_inner) */
  d: Float64Array;
  /** (d_model × d_inner) */
  outProj: Float64Array;
  outProjBias: Float64Array;
}

/** A checkpoint widened to f64. Plain data, so that a test can spoil it. */
export interface Checkpoint {
  vocabSize: number;
  nLayer: number;
  dModel: number;
  dInner: number;
  dState: number;
  dConv: number;
  dtRank: number;
  normEps: number;
  mixerEps: number;
  /** (vocab × d_model) */
  embedding: Float64Array;
  layers: ReferenceLayer[];
  normF: Float64Array;
  lmHead: Float64Array;
}

/** Reads a falcon_mamba folder in Hugging Face's layout, sharded or not. */
export async function readCheckpoint(dir: string): Promise<Checkpoint> {
  const config = Config.parse(JSON.parse(await readFile(join(dir, 'config.json'), 'utf8')));
  const dModel = config.hidden_size;
  const dInner = config.intermediate_size ?? Math.trunc(config.expand * dModel);
  const weights = await readWeights(dir);
  const take = (name: string): Float64Array => {
    const values = weights.get(name);
    if (values === undefined) throw new Error(`${dir} has no tensor ${name}`);
    return values;
  };
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i): ReferenceLayer => {
    const layer = `backbone.layers.${i}.`;
    const mixer = `${layer}mixer.`;
    const bias = (name: string, used: boolean, size: number) =>
      used ? take(`${mixer}${name}.bias`) : new Float64Array(size);
    return {
      norm: take(`${layer}norm.weight`),
      inProj: take(`${mixer}in_proj.weight`),
      inProjBias: bias('in_proj', config.use_bias, 2 * dInner),
      conv: take(`${mixer}conv1d.weight`),
      convBias: bias('conv1d', config.use_conv_bias, dInner),
      xProj: take(`${mixer}x_proj.weight`),
      dtProj: take(`${mixer}dt_proj.weight`),
      dtBias: take(`${mixer}dt_proj.bias`),
      aLog: take(`${mixer}A_log`),
      d: take(`${mixer}D`),
      outProj: take(`${mixer}out_proj.weight`),
      outProjBias: bias('out_proj', config.use_bias, dModel),
    };
  });
  const embedding = take('backbone.embeddings.weight');
  return {
    vocabSize: config.vocab_size,
    nLayer: layers.length,
    dModel,
    dInner,
    dState: config.state_size,
    dConv: config.conv_kernel,
    dtRank: config.time_step_rank === 'auto' ? Math.ceil(dModel / 16) : config.time_step_rank,
    normEps: config.layer_norm_epsilon,
    mixerEps: config.mixer_rms_eps,
    embedding,
    layers,
    normF: take('backbone.norm_f.weight'),
    lmHead: config.tie_word_embeddings ? embedding : take('lm_head.weight'),
  };
}

async function readWeights(dir: string): Promise<Map<string, Float64Array>> {
  const index = await readFile(join(dir, 'model.safetensors.index.json'), 'utf8').catch(() => null);
  const Index = z.looseObject({ weight_map: z.record(z.string(), z.string()) });
  const names =
    index === null ? ['model.safetensors'] : new Set(Object.values(Index.parse(JSON.parse(index)).weight_map));
  const weights = new Map<string, Float64Array>();
  for (const name of names) {
    const { tensors } = readSafetensors(await readFile(join(dir, name)));
    for (const [key, tensor] of tensors) weights.set(key, toFloat64(tensor));
  }
  return weights;
}
