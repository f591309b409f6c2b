import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LonghaulError, systemClock } from '@longhaul/core/contracts';
import {
  type ObtainedModel,
  type ObtainOptions,
  obtainModel,
  obtainWhole,
  parseModelReference,
} from '@longhaul/core/models';
import { type Delivery, loadModel, type Model, type ModelOptions } from '@longhaul/native';
import { engineOf } from '../engine/engine.ts';
import type { Engine } from '../ports.ts';
import { loadTokenizer } from '../text/index.ts';

export interface LoadedModel {
  readonly model: Model;
  readonly engine: Engine;
  readonly tokenizer: Awaited<ReturnType<typeof loadTokenizer>>;
  readonly arrival: ModelArrival;
}

/** How the weights came to be loaded: milliseconds since the model was asked for. Fetching, verifying and loading overlap. */
export interface ModelArrival {
  /** Where they came from: a directory of the caller's, the cache, or over the network by us or by another process. */
  readonly how: 'directory' | ObtainedModel['how'];
  /** Bytes of the model, and those of them that were fetched; null for a directory. */
  readonly bytes: number | null;
  readonly fetchedBytes: number | null;
  /** Configuration and tokenizer were there. */
  readonly foundMs: number;
  readonly fetchedMs: number;
  readonly verifiedMs: number;
  readonly loadedMs: number;
  /** 10^9 bytes a second from asking to having loaded. */
  readonly gigabytesPerSecond: number | null;
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

/** The directory of a model wherever it is, all of it there and verified. */
export async function wholeModelDirectory(asked: string, elsewhere: ObtainOptions): Promise<string> {
  const reference = parseModelReference(asked);
  return reference.kind === 'directory' ? await modelDirectory(asked) : (await obtainWhole(reference, elsewhere)).path;
}

/** Loads the model and its tokenizer, and refuses a pair that does not belong together. */
export async function loadServedModel(
  asked: string,
  options: LoadOptions,
  /** What a model of a store or the hub is brought with; without it only directories are loaded. */
  elsewhere: ObtainOptions | null = null,
): Promise<LoadedModel> {
  const since = stopwatch();
  const reference = parseModelReference(asked);
  if (reference.kind === 'directory' || elsewhere === null) {
    const dir = await modelDirectory(asked);
    const foundMs = since();
    const loaded = await loadFrom(dir, options);
    const loadedMs = since();
    const times = { foundMs, fetchedMs: foundMs, verifiedMs: foundMs, loadedMs };
    return {
      ...loaded,
      arrival: { how: 'directory', bytes: null, fetchedBytes: null, ...times, gigabytesPerSecond: null },
    };
  }
  const obtained = await obtainModel(reference, elsewhere);
  const times = { foundMs: since(), fetchedMs: 0, verifiedMs: 0 };
  const [fetched, verified] = [obtained.fetched, obtained.verified];
  void fetched.then(
    () => {
      times.fetchedMs = since();
    },
    () => {},
  );
  const loading = loadFrom(obtained.dir, options, deliveryOf(obtained));
  try {
    // A part that cannot be had fails both; what it failed with is what `verified` says.
    const [loaded] = await Promise.all([
      loading,
      verified.then(() => {
        times.verifiedMs = since();
      }),
    ]);
    await obtained.finish();
    const loadedMs = since();
    const { how, bytes } = obtained;
    const gigabytesPerSecond = Number((bytes / 1e6 / loadedMs).toFixed(3));
    const arrival = { how, bytes, fetchedBytes: obtained.fetchedBytes(), ...times, loadedMs, gigabytesPerSecond };
    return { ...loaded, arrival };
  } catch (error) {
    await obtained.abandon();
    await loading.then(({ model }) => model.close()).catch(() => {});
    throw error;
  }
}

export interface LoadOptions {
  readonly device: string;
  readonly weights: ModelOptions['weights'];
  readonly activations: ModelOptions['activations'];
  readonly threads: number | null;
  readonly chunkTokens: number;
  readonly slots: number;
  /** Questions answered at once. */
  readonly forks: number;
}

async function loadFrom(dir: string, options: LoadOptions, delivery?: Delivery): Promise<Omit<LoadedModel, 'arrival'>> {
  const tokenizer = await loadTokenizer(dir);
  const { weights, activations, threads } = options;
  const model = await loadModel(
    dir,
    {
      device: options.device as ModelOptions['device'],
      weights,
      activations,
      threads,
      // A session a job and as many that are closing while others begin, and one a question.
      slots: 2 * options.slots + options.forks,
    },
    delivery,
  );
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

/** What the engine may believe: digests that were checked, or are before the model is used. */
function deliveryOf({ digests, arriving }: ObtainedModel): Delivery {
  if (arriving === null) return { digests, arriving };
  const { arrivals, partBytes } = arriving;
  const until = (name: string, from: number, end: number) => arrivals.until(name, from, end);
  return { digests, arriving: { partBytes, until, listen: (listener) => arrivals.listen(listener) } };
}

function stopwatch(): () => number {
  const began = systemClock.now();
  return () => systemClock.now() - began;
}
