import { createCipheriv, createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ObjectStore } from '@longhaul/core/ledger';
import { directoryOrigin, type Pushed, pushModel } from '@longhaul/core/models';

export const MiB = 2 ** 20;

/** A directory that looks like a model: weights of so many bytes that no two parts of have in common. */
export async function makeModel(dir: string, seed: string, shards: readonly number[]): Promise<string> {
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'config.json'), JSON.stringify({ model_type: 'mamba', seed }));
  await writeFile(join(dir, 'tokenizer.json'), JSON.stringify({ seed }));
  for (const [i, bytes] of shards.entries()) {
    const name = `model-0000${i + 1}-of-0000${shards.length}.safetensors`;
    await writeFile(join(dir, name), noise(`${seed}/${i}`, bytes));
  }
  return dir;
}

export function noise(seed: string, bytes: number): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(bytes));
}

/** Pushes a directory in parts of 1 MiB. */
export async function pushDirectory(
  store: ObjectStore,
  dir: string,
  name = 'made',
  signal: AbortSignal = new AbortController().signal,
): Promise<Pushed> {
  const origin = await directoryOrigin(dir);
  return await pushModel({
    origin,
    name,
    store,
    fingerprint: async () => null,
    signal,
    now: new Date(),
    partBytes: MiB,
  });
}

/** Name and sha256 of every file of a directory that belongs to the model. */
export async function contents(dir: string): Promise<Record<string, string>> {
  const names = (await readdir(dir)).filter((name) => !name.startsWith('.') && name !== 'model.json').sort();
  const entries = names.map(async (name) => {
    const body = await readFile(join(dir, name));
    return [name, createHash('sha256').update(body).digest('hex')] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}
