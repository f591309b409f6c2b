// Loading with the choices that only tests make.
import { availableParallelism } from 'node:os';
import { addon, type Isa } from './binding.ts';
import { readCheckpoint } from './checkpoint.ts';
import { modelDigest } from './digest.ts';
import { asEngineError, EngineError } from './errors.ts';
import { EngineModel, stateLengths } from './model.ts';
import type { Model, ModelOptions } from './types.ts';

const maxThreads = 64;
const maxSlots = 4096;

export async function loadModelWith(dir: string, options: ModelOptions & { readonly isa: Isa }): Promise<Model> {
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
    const { config, special, files, tensors, parameterCount } = await readCheckpoint(dir);
    const digest = await modelDigest(config, files);
    const native = await engine.load(
      { config, files, tensors },
      cudaDevice,
      threads,
      options.isa,
      weights,
      activations,
      slots,
    );
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
