import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LonghaulError, systemClock } from '@longhaul/core/contracts';
import { loadModel, type Model, type ModelOptions } from '@longhaul/native';
import { engineOf } from '../engine/engine.ts';
import type { Engine } from '../ports.ts';
import { loadTokenizer } from '../text/index.ts';

export interface LoadedModel {
  readonly model: Model;
  readonly engine: Engine;
  readonly tokenizer: Awaited<ReturnType<typeof loadTokenizer>>;
}

/** The repository's `models/`, beside the worker. */
const models = fileURLToPath(new URL('../../models/', import.meta.url));

/** A directory, or the name of one below `models/`. @throws LonghaulError `model_not_found` naming where it looked. */
export async function modelDirectory(asked: string): Promise<string> {
  const candidates = asked.includes('/') ? [resolve(asked)] : [resolve(asked), join(models, asked)];
  for (const dir of candidates) {
    const found = await stat(dir).catch(() => null);
    if (found?.isDirectory()) return dir;
  }
  throw new LonghaulError('model_not_found', `no model directory ${candidates.join(' nor ')}`);
}

/** Loads the model and its tokenizer, and refuses a pair that does not belong together. */
export async function loadServedModel(
  asked: string,
  options: {
    readonly device: string;
    readonly weights: ModelOptions['weights'];
    readonly activations: ModelOptions['activations'];
    readonly threads: number | null;
    readonly chunkTokens: number;
    readonly slots: number;
    /** Questions answered at once. */
    readonly forks: number;
  },
): Promise<LoadedModel> {
  const dir = await modelDirectory(asked);
  const tokenizer = await loadTokenizer(dir);
  const { weights, activations, threads } = options;
  const model = await loadModel(dir, {
    device: options.device as ModelOptions['device'],
    weights,
    activations,
    threads,
    // A session a job and as many that are closing while others begin, and one a question.
    slots: 2 * options.slots + options.forks,
  });
  const { vocabSize } = model.info;
  if (tokenizer.vocabSize > vocabSize) {
    model.close();
    throw new LonghaulError(
      'tokenizer_mismatch',
      `the tokenizer of ${dir} has ${tokenizer.vocabSize} tokens, the model's vocabulary only ${vocabSize}`,
    );
  }
  // One prefill chunk and a decode token for each of the other jobs and questions share a step.
  const budgetTokens = options.chunkTokens + options.slots + options.forks;
  const engine = engineOf(model, { budgetTokens, clock: systemClock });
  return { model, engine, tokenizer };
}
