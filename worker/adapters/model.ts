import { stat } from 'node:fs/promises';
import { LonghaulError } from '@longhaul/core/contracts';
import { loadModel, type Model } from '@longhaul/native';
import { engineOf } from '../engine/engine.ts';
import type { Engine } from '../ports.ts';
import { loadTokenizer } from '../text/index.ts';

export interface LoadedModel {
  readonly model: Model;
  readonly engine: Engine;
  readonly tokenizer: Awaited<ReturnType<typeof loadTokenizer>>;
}

/** Loads the model and its tokenizer, and refuses a pair that does not belong together. */
export async function loadServedModel(
  dir: string,
  options: {
    readonly device: string;
    readonly threads: number | null;
    readonly chunkTokens: number;
    readonly slots: number;
  },
): Promise<LoadedModel> {
  const found = await stat(dir).catch(() => null);
  if (found === null || !found.isDirectory()) throw new LonghaulError('model_not_found', `no model directory ${dir}`);
  const tokenizer = await loadTokenizer(dir);
  const device = options.device as Parameters<typeof loadModel>[1]['device'];
  const model = await loadModel(dir, { device, weights: 'as-stored', threads: options.threads });
  const { vocabSize } = model.info;
  if (tokenizer.vocabSize > vocabSize) {
    model.close();
    throw new LonghaulError(
      'tokenizer_mismatch',
      `the tokenizer of ${dir} has ${tokenizer.vocabSize} tokens, the model's vocabulary only ${vocabSize}`,
    );
  }
  // One prefill chunk and a decode token for each of the other jobs share a step.
  const engine = engineOf(model, { budgetTokens: options.chunkTokens + options.slots });
  return { model, engine, tokenizer };
}
