// The addon's interface: same names, same order as addon/addon.cpp and addon/model_handle.cpp.
import { createRequire } from 'node:module';
import type { TensorSource } from './checkpoint.ts';
import type { ModelConfig } from './config.ts';
import { EngineError } from './errors.ts';
import type { CpuIsa, EngineProbe, ModelInfo, ModelOptions } from './types.ts';

export type Isa = 'auto' | CpuIsa;

/** Values are checked before they get here; the addon only asserts. */
export interface Addon {
  probe(): EngineProbe;
  arrivals(partBytes: number, files: number): NativeArrivals;
  load(
    checkpoint: NativeCheckpoint,
    /** -1: the CPU. */
    cudaDevice: number,
    threads: number,
    isa: Isa,
    weights: ModelOptions['weights'],
    activations: ModelOptions['activations'],
    /** States on the device. */
    slots: number,
  ): Promise<NativeModel>;
}

export interface NativeCheckpoint {
  readonly config: ModelConfig;
  readonly files: readonly string[];
  readonly tensors: readonly TensorSource[];
  /** Null: every file is there. */
  readonly arrivals: NativeArrivals | null;
}

/** Which parts of the files may be read; loading waits for what it wants, and fails with what `fail` is told. */
export interface NativeArrivals {
  arrived(file: number, part: number): void;
  fail(message: string): void;
}

/** A session is a slot number; work runs as if in the order of the calls. */
export interface NativeModel {
  info(): Pick<ModelInfo, 'device' | 'isa' | 'threads' | 'note' | 'products'>;
  openSession(): number;
  forkSession(slot: number): number;
  restoreSession(conv: Float32Array, ssm: Float32Array): number;
  /** Fills the arrays. */
  snapshot(slot: number, conv: Float32Array, ssm: Float32Array): Promise<void>;
  closeSession(slot: number): void;
  /** Fills `outs`. */
  step(step: NativeStep): Promise<NativeSamples>;
  close(): Promise<void>;
}

/** What of an item each array holds, and of which items, in their order; lists of one item after those of another. */
export interface NativeStep {
  /** [items] */
  readonly slots: Int32Array;
  readonly wants: Int32Array;
  readonly lengths: Int32Array;
  readonly tokens: Int32Array;
  readonly tops: Int32Array;
  /** logprobs */
  readonly targets: Int32Array;
  /** logprobs, logits: `out`; where `top` is not 0: `topIds`, `topLogprobs` */
  readonly outs: readonly (Float32Array | Int32Array)[];
  /** sample: eight numbers each, then its biases */
  readonly samplings: Float64Array;
  readonly seeds: BigUint64Array;
  readonly penalized: Int32Array;
  readonly biasIds: Int32Array;
}

export interface NativeStepItem {
  readonly slot: number;
  readonly tokens: Int32Array;
  readonly want: 'nothing' | 'sample' | 'logprobs' | 'logits_last' | 'logits_all';
  readonly sampling: NativeSampling | null;
  readonly targets: Int32Array | null;
  readonly out: Float32Array | null;
  /** Alternatives per position; where it is not 0, the two arrays are filled. */
  readonly top: number;
  readonly topIds: Int32Array | null;
  readonly topLogprobs: Float32Array | null;
}

export interface NativeSampling {
  readonly temperature: number;
  /** 0 = all. */
  readonly topK: number;
  /** 1 = all. */
  readonly topP: number;
  /** 0 = all. */
  readonly minP: number;
  readonly biasIds: Int32Array;
  readonly biases: Float32Array;
  readonly repetitionPenalty: number;
  readonly penalized: Int32Array;
  readonly seed: bigint;
  readonly position: number;
}

export interface NativeSamples {
  /** [items], as are the log-probabilities; meaningful where a sample was wanted. */
  readonly tokens: Int32Array;
  readonly logprobs: Float32Array;
  /** Items that did not get what they wanted; the rest of their step has run. */
  readonly failures: readonly { readonly item: number; readonly error: Error }[];
}

let loaded: Addon | null = null;

export function addon(): Addon {
  if (loaded) return loaded;
  const file = './build/longhaul.node';
  try {
    loaded = createRequire(import.meta.url)(file) as Addon;
    return loaded;
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND';
    const what = missing
      ? 'the native engine is not built'
      : `the native engine does not load: ${(cause as Error).message}`;
    throw new EngineError('engine_failure', `${what}; run \`npm run build\``, { cause });
  }
}
