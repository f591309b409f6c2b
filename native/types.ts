// The types of the engine's face. Every field is always set; `null` alone means absent.
import type { EngineError } from './errors.ts';

export type Device = 'cpu' | 'auto' | `cuda:${number}`;

export interface ModelOptions {
  readonly device: Device;
  /**
   * What the four projections of a layer are computed from. `int8` (row-wise absmax) and `nf4` (absmax of 64) quantize at
   * load what the checkpoint has in floating point, as bitsandbytes does, `fp8` to e4m3 with a scale a row (for GPUs from
   * compute capability 8.9; elsewhere it is exact and slow), and lm_head to int8 with any; tensors that are stored
   * quantized stay as they are.
   */
  readonly weights: 'as-stored' | 'int8' | 'nf4' | 'fp8';
  /**
   * How activations enter matrix products. `f32`: exactly. `matched`: rounded to what the weights are worth, which is
   * several times faster: bf16 for bf16 weights, int8 in groups with a scale each for 8 and 4 bits, f32 otherwise.
   */
  readonly activations: 'f32' | 'matched';
  /** null = all cores; at most 64. Results do not depend on it. */
  readonly threads: number | null;
  /**
   * Sessions that can be open at once on a GPU, whose memory for them is taken at load; one more is refused with
   * `out_of_memory`. null = 64. On a CPU memory alone is the limit.
   */
  readonly slots: number | null;
}

export type CpuIsa = 'avx512bf16' | 'avx512vnni' | 'avx512' | 'avx2' | 'portable';

/** What a config.json says about the sizes of a model. */
export interface ModelShape {
  readonly modelType: 'falcon_mamba' | 'mamba';
  readonly vocabSize: number;
  readonly nLayer: number;
  readonly dModel: number;
  readonly dInner: number;
  readonly dState: number;
  readonly dConv: number;
  readonly dtRank: number;
}

export interface ModelInfo extends ModelShape {
  readonly parameterCount: number;
  /** Bytes of one snapshot's two arrays. */
  readonly stateBytes: number;
  readonly device: string;
  /** Instruction set of the CPU's kernels, or the GPU's compute capability. */
  readonly isa: CpuIsa | `sm_${number}`;
  /** What is missing for full speed on this device. */
  readonly note: string | null;
  /**
   * What makes a GPU's large products, since their bits are its own: `own`, or cuBLASLt's version and a digest of the plans
   * chosen on this device. null where the device type says it all.
   */
  readonly products: string | null;
  readonly weights: ModelOptions['weights'];
  readonly activations: ModelOptions['activations'];
  readonly threads: number;
  /** sha256 (hex) over the resolved configuration and every weight file's sha256. */
  readonly digest: string;
  readonly eosTokenIds: readonly number[];
  readonly bosTokenId: number | null;
}

export interface Model {
  readonly info: ModelInfo;
  /** A session at position 0: the zero state. */
  openSession(): Session;
  /** Throws `state_mismatch` when the snapshot is another model's or has another shape. */
  restoreSession(snapshot: Snapshot): Session;
  /**
   * Reads every item's tokens into its session; results in the order of the items. A refused step has changed nothing.
   * A session's state and results are the same bits whatever shares its steps and however its tokens are cut.
   *
   * Steps run one after the other. What is asked of sessions that are not in the running step, nor in one that was
   * accepted before, does not wait for it: opening, restoring, forking, closing, snapshots.
   */
  step(items: readonly StepItem[]): Promise<StepResult[]>;
  /** Idempotent. Steps already accepted finish; anything later is refused with `closed`. */
  close(): void;
}

export interface Session {
  /** Tokens read so far: the state covers [0, position). */
  readonly position: number;
  /** A second session with the same state. Refused with `session_busy` during a step. */
  fork(): Session;
  /** The state after the session's steps accepted so far. */
  snapshot(): Promise<Snapshot>;
  /** Idempotent. During a step it takes effect after it. */
  close(): void;
}

/** State that covers tokens [0, position). */
export interface Snapshot {
  readonly modelDigest: string;
  readonly position: number;
  /** [n_layer, d_inner, d_conv - 1], oldest column first. */
  readonly conv: Float32Array;
  /** [n_layer, d_inner, d_state]. */
  readonly ssm: Float32Array;
}

/**
 * Applied in the order of Hugging Face's generation: logit bias, repetition penalty, temperature, top-k, top-p, min-p;
 * each of the last three cuts what the one before it left.
 */
export interface Sampling {
  /** 0 = greedy: the lowest id among the largest logits. */
  readonly temperature: number;
  readonly topK: number | null;
  readonly topP: number | null;
  /** Keeps the tokens with p >= minP * the largest p. */
  readonly minP: number | null;
  /** biases[i], from -100 to 100, is added to the logit of ids[i]; no id twice. */
  readonly logitBias: { readonly ids: Int32Array; readonly biases: Float32Array };
  /** 1 = off. */
  readonly repetitionPenalty: number;
  /** Token ids that the penalty applies to, each once however often it is listed. */
  readonly penalized: Int32Array;
  /** Unsigned 64 bits: the key of the random stream. */
  readonly seed: bigint;
  /** Output position: the counter of the random stream. */
  readonly position: number;
}

export type Want =
  | { readonly kind: 'nothing' }
  /** Samples after the last token. `top`, here and below: how many of the most likely tokens to tell with it, 0 to 20. */
  | { readonly kind: 'sample'; readonly sampling: Sampling; readonly top: number }
  /** targets[t] is the token to score after tokens[t]; -1 = none. */
  | { readonly kind: 'logprobs'; readonly targets: Int32Array; readonly top: number }
  | { readonly kind: 'logits'; readonly positions: 'last' | 'all' };

export interface StepItem {
  readonly session: Session;
  /** At least one. */
  readonly tokens: Int32Array;
  readonly want: Want;
}

/**
 * The most likely tokens of each position: [top] of a sample, [T, top] of log-probabilities; descending, the lowest id
 * first among equals. -1 and NaN where the target is -1. A token's own log-probability and its entry here are the same
 * number, bit for bit.
 */
export interface TopLogprobs {
  readonly ids: Int32Array;
  readonly logprobs: Float32Array;
}

export type StepResult =
  | { readonly kind: 'nothing' }
  /** Log-probabilities are under the model's own distribution: temperature 1, nothing cut, biased or penalised. */
  | { readonly kind: 'sample'; readonly token: number; readonly logprob: number; readonly top: TopLogprobs }
  /** [T], NaN where the target is -1. */
  | { readonly kind: 'logprobs'; readonly logprobs: Float32Array; readonly top: TopLogprobs }
  /** [1 or T, vocab]. */
  | { readonly kind: 'logits'; readonly logits: Float32Array }
  /** What was wanted cannot be had (no logit is a number); the tokens are read, and the other items are not touched. */
  | { readonly kind: 'failed'; readonly error: EngineError };

export interface EngineProbe {
  readonly isa: string;
  readonly cpuFeatures: string[];
  readonly cpuModel: string | null;
  readonly cores: number;
  /** "not built", or the state of the CUDA backend. */
  readonly cuda: string;
}
