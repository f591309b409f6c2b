// config.json and generation_config.json of a Hugging Face checkpoint, resolved to the model's shape.
import { z } from 'zod';
import { EngineError } from './errors.ts';
import type { ModelShape } from './types.ts';

const positive = (limit: number) => z.int().min(1).max(limit);
const epsilon = z.number().positive().max(1);

/** Missing keys take the Hugging Face class defaults, `tie_word_embeddings` true among them. */
const HfConfig = z.object({
  vocab_size: positive(1 << 24).default(50280),
  hidden_size: positive(1 << 17).default(768),
  state_size: positive(256).default(16),
  num_hidden_layers: positive(4096).default(32),
  layer_norm_epsilon: epsilon.default(1e-5),
  mixer_rms_eps: epsilon.default(1e-6),
  expand: z.number().positive().max(256).default(2),
  intermediate_size: positive(1 << 19).nullish(),
  conv_kernel: positive(64).default(4),
  use_bias: z.boolean().default(false),
  use_conv_bias: z.boolean().default(true),
  time_step_rank: z.union([z.literal('auto'), positive(1 << 17)]).default('auto'),
  tie_word_embeddings: z.boolean().default(true),
});

const TokenIds = z.object({
  bos_token_id: z.int().nonnegative().nullish(),
  eos_token_id: z.union([z.int().nonnegative(), z.array(z.int().nonnegative())]).nullish(),
});

export interface ModelConfig extends ModelShape {
  readonly normEps: number;
  readonly mixerRmsEps: number;
  /** falcon_mamba normalises dt, B and C; mamba does not. */
  readonly mixerNorms: boolean;
  readonly useBias: boolean;
  readonly useConvBias: boolean;
  readonly tied: boolean;
}

export interface SpecialTokens {
  readonly eosTokenIds: readonly number[];
  readonly bosTokenId: number | null;
}

export function resolveConfig(raw: Record<string, unknown>, file: string): ModelConfig {
  const modelType = raw['model_type'];
  if (modelType !== 'falcon_mamba' && modelType !== 'mamba')
    throw new EngineError(
      'model_unsupported',
      `${file}: model_type must be falcon_mamba or mamba, found ${show(modelType)}`,
    );
  // What is quantized is seen tensor by tensor; only another method's layout is refused by this key.
  const quantization = raw['quantization_config'];
  const method = typeof quantization === 'object' && quantization !== null && 'quant_method' in quantization;
  if (quantization != null && (!method || quantization.quant_method !== 'bitsandbytes'))
    throw new EngineError(
      'model_unsupported',
      `${file}: quantization_config: quant_method must be bitsandbytes, found ${show(quantization)}`,
    );
  const activation = raw['hidden_act'] ?? 'silu';
  if (activation !== 'silu' && activation !== 'swish')
    throw new EngineError('model_unsupported', `${file}: hidden_act must be silu, found ${show(activation)}`);

  const c = checked(HfConfig, raw, file);
  // intermediate_size wins: falcon-mamba-7b says expand 16 beside intermediate_size 2 * hidden_size.
  const dInner = c.intermediate_size ?? Math.trunc(c.expand * c.hidden_size);
  return {
    modelType,
    vocabSize: c.vocab_size,
    nLayer: c.num_hidden_layers,
    dModel: c.hidden_size,
    dInner,
    dState: c.state_size,
    dConv: c.conv_kernel,
    dtRank: c.time_step_rank === 'auto' ? Math.ceil(c.hidden_size / 16) : c.time_step_rank,
    normEps: c.layer_norm_epsilon,
    mixerRmsEps: c.mixer_rms_eps,
    mixerNorms: modelType === 'falcon_mamba',
    useBias: c.use_bias,
    useConvBias: c.use_conv_bias,
    tied: c.tie_word_embeddings,
  };
}

/** generation_config.json decides where it says something, else config.json. */
export function resolveSpecialTokens(
  generation: { readonly raw: Record<string, unknown>; readonly file: string } | null,
  config: { readonly raw: Record<string, unknown>; readonly file: string },
): SpecialTokens {
  const first = generation ? checked(TokenIds, generation.raw, generation.file) : {};
  const second = checked(TokenIds, config.raw, config.file);
  const eos = first.eos_token_id ?? second.eos_token_id ?? [];
  return {
    eosTokenIds: typeof eos === 'number' ? [eos] : eos,
    bosTokenId: first.bos_token_id ?? second.bos_token_id ?? null,
  };
}

function checked<T>(schema: z.ZodType<T>, raw: Record<string, unknown>, file: string): T {
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const key = String(issue?.path[0] ?? '');
  throw new EngineError('model_corrupt', `${file}: ${key}: ${issue?.message}, found ${show(raw[key])}`, {
    cause: parsed.error,
  });
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
