import { readCheckpoint } from './checkpoint.ts';
import { modelDigest } from './digest.ts';
import { asEngineError } from './errors.ts';
import type { ModelInfo, ModelShape } from './types.ts';

/**
 * What `ModelInfo` says of a checkpoint's identity and sizes, without the engine: the weights are hashed and not loaded.
 * Rejects with an EngineError: model_not_found, model_incomplete, model_corrupt, model_unsupported.
 */
export async function fingerprintModel(dir: string): Promise<ModelShape & Pick<ModelInfo, 'digest'>> {
  try {
    const { config, files } = await readCheckpoint(dir);
    const { modelType, vocabSize, nLayer, dModel, dInner, dState, dConv, dtRank } = config;
    const digest = await modelDigest(config, files);
    return { modelType, vocabSize, nLayer, dModel, dInner, dState, dConv, dtRank, digest };
  } catch (error) {
    throw asEngineError(error);
  }
}
