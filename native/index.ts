// The engine's whole public face: load a model, open sessions, step them.
import { addon } from './binding.ts';
import { loadModelWith } from './internal.ts';
import type { EngineProbe, Model, ModelOptions } from './types.ts';

export { EngineError, type EngineErrorCode } from './errors.ts';
export { fingerprintModel } from './fingerprint.ts';
export { greedy } from './greedy.ts';
export type * from './types.ts';

/**
 * Loads a falcon_mamba or mamba checkpoint in the Hugging Face layout from a directory. Rejects with an EngineError:
 * model_not_found, model_incomplete, model_corrupt, model_unsupported, device_unavailable, out_of_memory.
 */
export function loadModel(dir: string, options: ModelOptions): Promise<Model> {
  return loadModelWith(dir, { ...options, isa: 'auto' });
}

/** What this build and this machine offer, without loading a model. */
export async function probeEngine(): Promise<EngineProbe> {
  return addon().probe();
}
