import { readCheckpoint, readModelConfig, weightFiles } from './checkpoint.ts';
import { modelDigest } from './digest.ts';
import { asEngineError } from './errors.ts';
import type { ModelInfo, ModelShape } from './types.ts';

/**
 * What `ModelInfo` says of a checkpoint's identity and sizes, without the engine: the weights are hashed and not loaded.
 * Files whose digests are known are not hashed; where known weights are not there, what tensors they hold is not looked at.
 * Rejects with an EngineError: model_not_found, model_incomplete, model_corrupt, model_unsupported.
 */
export async function fingerprintModel(
  dir: string,
  known: ReadonlyMap<string, string> | null = null,
): Promise<ModelShape & Pick<ModelInfo, 'digest'>> {
  try {
    const { config, files } = await read(dir, known);
    const { modelType, vocabSize, nLayer, dModel, dInner, dState, dConv, dtRank } = config;
    const digest = await modelDigest(config, files, known ?? undefined);
    return { modelType, vocabSize, nLayer, dModel, dInner, dState, dConv, dtRank, digest };
  } catch (error) {
    throw asEngineError(error);
  }
}

async function read(dir: string, known: ReadonlyMap<string, string> | null) {
  const there = known === null || (await weightFiles(dir).catch(() => null)) !== null;
  if (there) return await readCheckpoint(dir);
  const { config } = await readModelConfig(dir);
  return { config, files: await weightFiles(dir, known) };
}
