// The engine's whole public face: load a model, open sessions, step them.
import { addon } from './binding.ts';
import type { Delivery } from './delivery.ts';
import { loadModelWith } from './internal.ts';
import type { EngineProbe, Model, ModelOptions } from './types.ts';

export type { ArrivalListener, Arriving, Delivery } from './delivery.ts';
export { EngineError, type EngineErrorCode } from './errors.ts';
export { fingerprintModel } from './fingerprint.ts';
export { greedy } from './greedy.ts';
export type * from './types.ts';

/**
 * Loads a falcon_mamba or mamba checkpoint in the Hugging Face layout from a directory, whose weights may still be
 * arriving: each tensor is packed as soon as its bytes are there. Rejects with an EngineError:
 * model_not_found, model_incomplete, model_corrupt, model_unsupported, device_unavailable, out_of_memory.
 */
export function loadModel(dir: string, options: ModelOptions, delivery?: Delivery): Promise<Model> {
  return loadModelWith(dir, { ...options, isa: 'auto' }, delivery);
}

/** What this build and this machine offer, without loading a model. */
export async function probeEngine(): Promise<EngineProbe> {
  return addon().probe();
}
