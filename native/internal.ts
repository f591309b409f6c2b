// Loading with the choices that only tests make.
import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import { type Addon, addon, type Isa, type NativeArrivals } from './binding.ts';
import { readCheckpoint } from './checkpoint.ts';
import { type Delivery, nothingKnown } from './delivery.ts';
import { modelDigest } from './digest.ts';
import { asEngineError, EngineError } from './errors.ts';
import { EngineModel, stateLengths } from './model.ts';
import type { Model, ModelOptions } from './types.ts';

const maxThreads = 64;
const maxSlots = 4096;

export async function loadModelWith(
  dir: string,
  options: ModelOptions & { readonly isa: Isa },
  delivery: Delivery = nothingKnown,
): Promise<Model> {
  const threads = options.threads ?? Math.min(availableParallelism(), maxThreads);
  if (!Number.isInteger(threads) || threads < 1 || threads > maxThreads)
    throw new EngineError(
      'invalid_argument',
      `threads must be null or an integer in [1, ${maxThreads}], found ${threads}`,
    );
  const slots = options.slots ?? 64;
  if (!Number.isInteger(slots) || slots < 1 || slots > maxSlots)
    throw new EngineError('invalid_argument', `slots must be null or an integer in [1, ${maxSlots}], found ${slots}`);
  const { weights, activations } = options;
  if (weights !== 'as-stored' && weights !== 'int8' && weights !== 'nf4' && weights !== 'fp8')
    throw new EngineError('invalid_argument', `weights must be as-stored, int8, nf4 or fp8, found ${String(weights)}`);
  if (activations !== 'f32' && activations !== 'matched')
    throw new EngineError('invalid_argument', `activations must be f32 or matched, found ${String(activations)}`);
  const cuda = /^cuda:(\d{1,3})$/.exec(options.device);
  if (!cuda && options.device !== 'cpu' && options.device !== 'auto')
    throw new EngineError('invalid_argument', `device must be cpu, auto or cuda:N, found ${String(options.device)}`);
  const cudaDevice = cuda ? Number(cuda[1]) : -1;

  try {
    const engine = addon();
    const { config, special, files, tensors, parameterCount } = await readCheckpoint(dir, delivery);
    const digest = await modelDigest(config, files, delivery.digests);
    const { arrivals, end } = follow(engine, files, delivery);
    const loading = engine.load(
      { config, files, tensors, arrivals },
      ...([cudaDevice, threads, options.isa, weights, activations, slots] as const),
    );
    const native = await loading.finally(end);
    const { modelType, vocabSize, nLayer, dModel, dInner, dState, dConv, dtRank } = config;
    const shape = { modelType, vocabSize, nLayer, dModel, dInner, dState, dConv, dtRank };
    const lengths = stateLengths(shape);
    const stateBytes = 4 * (lengths.conv + lengths.ssm);
    const info = { ...shape, parameterCount, stateBytes, ...native.info(), weights, activations, digest, ...special };
    return new EngineModel(info, native);
  } catch (error) {
    throw asEngineError(error);
  }
}

/** Tells the engine, which waits on its own threads, of the parts of its files. */
function follow(
  engine: Addon,
  files: readonly string[],
  { arriving }: Delivery,
): { readonly arrivals: NativeArrivals | null; readonly end: () => void } {
  if (arriving === null) return { arrivals: null, end: () => {} };
  const arrivals = engine.arrivals(arriving.partBytes, files.length);
  const indices = new Map(files.map((path, i) => [basename(path), i]));
  const end = arriving.listen({
    onPart: (name, part) => {
      const file = indices.get(name);
      if (file !== undefined) arrivals.arrived(file, part);
    },
    onFailure: (error) => arrivals.fail(asEngineError(error).message),
  });
  return { arrivals, end };
}
