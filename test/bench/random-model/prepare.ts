// Makes what is missing of the random models: a Hugging Face folder in bf16, and GGUF files of the same values.
import { existsSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formats, type Shape, type Size, shapes, type Weights } from '../cases.ts';
import { type GgufFormat, ggufHeader, ggufTypeOf, padTo } from './gguf.ts';
import { elements, fill, tensorsOf, widen } from './tensors.ts';

const chunkElements = 1 << 22;

/** `weights`: the GGUF files wanted, by our names of their formats. A file that is there is whole, and stays. */
export async function prepareModels(
  dir: string,
  sizes: readonly Size[],
  weights: readonly Weights[],
  progress: (text: string) => void,
): Promise<void> {
  await mkdir(dir, { recursive: true });
  for (const size of sizes) {
    const shape = shapes[size];
    const folder = join(dir, `fm-${size}-hf`);
    const wanted = weights.map((name) => formats[name].gguf as GgufFormat);
    const missing = wanted.filter((format) => !existsSync(join(dir, `fm-${size}-${format}.gguf`)));
    const withFolder = !existsSync(join(folder, 'model.safetensors'));
    if (!withFolder && missing.length === 0) continue;
    progress(`making random ${size} models: ${[...(withFolder ? ['safetensors'] : []), ...missing].join(', ')}`);
    await make(dir, size, shape, withFolder ? folder : null, missing);
  }
}

interface Sink {
  readonly path: string;
  readonly file: FileHandle;
  readonly write: (values: Float32Array, bits: Uint16Array, tensor: ReturnType<typeof tensorsOf>[number]) => Uint8Array;
  readonly aligned: boolean;
}

async function make(
  dir: string,
  size: Size,
  shape: Shape,
  folder: string | null,
  ggufs: readonly GgufFormat[],
): Promise<void> {
  const tensors = tensorsOf(shape);
  const sinks: Sink[] = [];
  const sink = async (path: string, head: Buffer, write: Sink['write'], aligned: boolean) => {
    const file = await open(`${path}.part`, 'w');
    await file.writeFile(head);
    sinks.push({ path, file, write, aligned });
  };
  if (folder) {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'config.json'), JSON.stringify(configOf(shape), null, 1));
    const bytes = (bits: Uint16Array) => new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength);
    await sink(join(folder, 'model.safetensors'), safetensorsHeader(shape), (_, bits) => bytes(bits), false);
  }
  for (const format of ggufs) {
    const head = ggufHeader(shape, tensors, format, `random-${size}`);
    await sink(
      join(dir, `fm-${size}-${format}.gguf`),
      head,
      (values, bits, tensor) => {
        if (tensor.kind === 'A_log')
          return ggufTypeOf(tensor, format).encode(
            values.map((x) => -Math.exp(x)),
            bits,
          );
        return ggufTypeOf(tensor, format).encode(values, bits);
      },
      true,
    );
  }
  for (const tensor of tensors) {
    const n = elements(tensor);
    const written = sinks.map(() => 0);
    for (let start = 0; start < n; start += chunkElements) {
      const bits = new Uint16Array(Math.min(chunkElements, n - start));
      fill(tensor, start, bits);
      const values = widen(bits);
      for (const [i, { file, write }] of sinks.entries()) {
        const bytes = write(values, bits, tensor);
        written[i]! += bytes.length;
        await file.writeFile(bytes);
      }
    }
    for (const [i, { file, aligned }] of sinks.entries())
      if (aligned) await file.writeFile(Buffer.alloc(padTo(written[i]!) - written[i]!));
  }
  for (const { path, file } of sinks) {
    await file.close();
    await rename(`${path}.part`, path);
  }
}

/** mixer_rms_eps is the norms' epsilon here, since llama.cpp knows no other. */
function configOf(shape: Shape): Record<string, unknown> {
  return {
    architectures: ['FalconMambaForCausalLM'],
    model_type: 'falcon_mamba',
    vocab_size: shape.vocabSize,
    hidden_size: shape.dModel,
    intermediate_size: shape.dInner,
    state_size: shape.dState,
    num_hidden_layers: shape.nLayer,
    conv_kernel: shape.dConv,
    time_step_rank: shape.dtRank,
    layer_norm_epsilon: 1e-5,
    mixer_rms_eps: 1e-5,
    use_bias: false,
    use_conv_bias: true,
    hidden_act: 'silu',
    tie_word_embeddings: false,
    torch_dtype: 'bfloat16',
    bos_token_id: 0,
    eos_token_id: 11,
  };
}

function safetensorsHeader(shape: Shape): Buffer {
  let offset = 0;
  const entries = tensorsOf(shape).map((tensor) => {
    const begin = offset;
    offset += 2 * elements(tensor);
    return [tensor.name, { dtype: 'BF16', shape: tensor.shape, data_offsets: [begin, offset] }] as const;
  });
  const json = JSON.stringify(Object.fromEntries(entries));
  const padded = json.padEnd(Math.ceil(json.length / 8) * 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, Buffer.from(padded)]);
}
