// A checkpoint directory in the Hugging Face layout, checked down to every tensor before the engine sees it.
import { readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { type ModelConfig, resolveConfig, resolveSpecialTokens, type SpecialTokens } from './config.ts';
import { type Delivery, nothingKnown } from './delivery.ts';
import { EngineError } from './errors.ts';
import { type Quantization, readQuantization, type StoredTensor } from './quantization.ts';
import { readSafetensorsHeader } from './safetensors.ts';

/** One stored tensor, flattened to (rows, cols); `layer` is -1 outside layers. */
export interface TensorSource {
  readonly role: string;
  readonly layer: number;
  readonly dtype: 'F32' | 'F16' | 'BF16';
  /** Where the stored bytes are int8 or 4-bit codes, which `dtype` then says nothing about. */
  readonly quantization: Quantization | null;
  /** Index into `files`. */
  readonly file: number;
  readonly offset: number;
  readonly bytes: number;
  readonly rows: number;
  readonly cols: number;
}

export interface Checkpoint {
  readonly config: ModelConfig;
  readonly special: SpecialTokens;
  /** Paths of the weight files, sorted. */
  readonly files: readonly string[];
  readonly tensors: readonly TensorSource[];
  readonly parameterCount: number;
}

interface Expected {
  readonly name: string;
  readonly role: string;
  readonly layer: number;
  readonly shape: readonly number[];
}

/** The one place that knows Hugging Face's tensor names. */
function expectedTensors(c: ModelConfig): Expected[] {
  const { dModel, dInner, dState, dConv, dtRank, vocabSize } = c;
  const all: Expected[] = [];
  const add = (name: string, role: string, layer: number, ...shape: number[]) => all.push({ name, role, layer, shape });
  add('backbone.embeddings.weight', 'embeddings', -1, vocabSize, dModel);
  for (let i = 0; i < c.nLayer; i += 1) {
    const layer = `backbone.layers.${i}`;
    add(`${layer}.norm.weight`, 'norm', i, dModel);
    add(`${layer}.mixer.in_proj.weight`, 'in_proj', i, 2 * dInner, dModel);
    if (c.useBias) add(`${layer}.mixer.in_proj.bias`, 'in_proj_bias', i, 2 * dInner);
    add(`${layer}.mixer.conv1d.weight`, 'conv1d', i, dInner, 1, dConv);
    if (c.useConvBias) add(`${layer}.mixer.conv1d.bias`, 'conv1d_bias', i, dInner);
    add(`${layer}.mixer.x_proj.weight`, 'x_proj', i, dtRank + 2 * dState, dInner);
    add(`${layer}.mixer.dt_proj.weight`, 'dt_proj', i, dInner, dtRank);
    add(`${layer}.mixer.dt_proj.bias`, 'dt_proj_bias', i, dInner);
    add(`${layer}.mixer.A_log`, 'A_log', i, dInner, dState);
    add(`${layer}.mixer.D`, 'D', i, dInner);
    add(`${layer}.mixer.out_proj.weight`, 'out_proj', i, dModel, dInner);
    if (c.useBias) add(`${layer}.mixer.out_proj.bias`, 'out_proj_bias', i, dModel);
  }
  add('backbone.norm_f.weight', 'norm_f', -1, dModel);
  if (!c.tied) add('lm_head.weight', 'lm_head', -1, vocabSize, dModel);
  return all;
}

/** What config.json and generation_config.json say. */
export async function readModelConfig(dir: string): Promise<Pick<Checkpoint, 'config' | 'special'>> {
  const found = await stat(dir).catch(() => null);
  if (!found?.isDirectory()) throw new EngineError('model_not_found', `no model directory at ${dir}`);
  const configFile = join(dir, 'config.json');
  const raw = await readJson(configFile);
  if (raw === null) throw new EngineError('model_not_found', `${dir} has no config.json`);
  const config = resolveConfig(raw, configFile);
  const generationFile = join(dir, 'generation_config.json');
  const generation = await readJson(generationFile);
  const special = resolveSpecialTokens(generation && { raw: generation, file: generationFile }, {
    raw,
    file: configFile,
  });
  return { config, special };
}

export async function readCheckpoint(dir: string, delivery: Delivery = nothingKnown): Promise<Checkpoint> {
  const { config, special } = await readModelConfig(dir);
  const files = await weightFiles(dir);
  const stored = new Map<string, StoredTensor>();
  for (const [file, path] of files.entries()) {
    for (const [name, tensor] of await readSafetensorsHeader(path, delivery)) {
      if (stored.has(name)) throw new EngineError('model_corrupt', `${path}: tensor ${name} is in another file too`);
      stored.set(name, { ...tensor, file });
    }
  }

  const tensors: TensorSource[] = [];
  for (const expected of expectedTensors(config)) {
    const tensor = stored.get(expected.name);
    if (!tensor) throw new EngineError('model_incomplete', `${dir}: tensor ${expected.name} is missing`);
    stored.delete(expected.name);
    const [rows = 1, cols = 1] = expected.shape;
    const quantization = quantizable.has(expected.role)
      ? await readQuantization({ paths: files, delivery }, stored, expected.name, tensor, rows, cols)
      : null;
    tensors.push(source(files[tensor.file] ?? dir, expected, tensor, quantization));
  }
  // A backbone tensor that the configuration does not know would be silently left out of the computation.
  const unknown = [...stored.keys()].find((name) => name.startsWith('backbone.'));
  if (unknown !== undefined)
    throw new EngineError(
      'model_unsupported',
      `${dir}: tensor ${unknown} has no place in this ${config.modelType} model`,
    );
  const parameterCount = tensors.reduce((sum, tensor) => sum + tensor.rows * tensor.cols, 0);
  return { config, special, files, tensors, parameterCount };
}

/** bitsandbytes replaces linear modules only. */
const quantizable = new Set(['in_proj', 'x_proj', 'dt_proj', 'out_proj', 'lm_head']);

function source(
  path: string,
  expected: Expected,
  tensor: StoredTensor,
  quantization: Quantization | null,
): TensorSource {
  const { role, layer, shape } = expected;
  const { dtype, file, offset, bytes } = tensor;
  const rows = shape[0] ?? 1;
  const cols = shape.slice(1).reduce((product, n) => product * n, 1);
  if (quantization) return { role, layer, dtype: 'F32', quantization, file, offset, bytes, rows, cols };
  if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16')
    throw new EngineError(
      'model_unsupported',
      `${path}: tensor ${expected.name} must be F32, F16 or BF16, found ${dtype}`,
    );
  if (tensor.shape.length !== shape.length || tensor.shape.some((n, i) => n !== shape[i]))
    throw new EngineError(
      'model_corrupt',
      `${path}: tensor ${expected.name} must have shape [${shape}] by config.json, found [${tensor.shape}]`,
    );
  return { role, layer, dtype, quantization: null, file, offset, bytes, rows, cols };
}

const ShardIndex = z.object({ weight_map: z.record(z.string(), z.string().regex(/^[^/\\]+\.safetensors$/)) });

/** model.safetensors, or the shards that the index names. One whose name is among `elsewhere` need not be there. */
export async function weightFiles(
  dir: string,
  elsewhere: Pick<ReadonlyMap<string, string>, 'has'> = new Map(),
): Promise<string[]> {
  const single = join(dir, 'model.safetensors');
  const isThere = async (path: string) => elsewhere.has(basename(path)) || (await isFile(path));
  if (await isThere(single)) return [single];
  const indexFile = `${single}.index.json`;
  const raw = await readJson(indexFile);
  if (raw === null)
    throw new EngineError('model_incomplete', `${dir} has neither model.safetensors nor model.safetensors.index.json`);
  const index = ShardIndex.safeParse(raw);
  if (!index.success)
    throw new EngineError('model_corrupt', `${indexFile}: ${index.error.issues[0]?.message}`, { cause: index.error });
  const files = [...new Set(Object.values(index.data.weight_map))].sort().map((name) => join(dir, name));
  for (const file of files)
    if (!(await isThere(file)))
      throw new EngineError('model_incomplete', `${indexFile} names ${file}, which is missing`);
  return files;
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isFile() ?? false;
}

/** A JSON object, or null when there is no such file. */
async function readJson(path: string): Promise<Record<string, unknown> | null> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw new EngineError('model_incomplete', `cannot read ${path}: ${error.message}`, { cause: error });
  });
  if (text === null) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new EngineError('model_corrupt', `${path} is not JSON: ${(cause as Error).message}`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new EngineError('model_corrupt', `${path} is not a JSON object`);
  return value as Record<string, unknown>;
}
