import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Manifest } from './manifest.ts';
import { readSafetensors, type StoredTensor, toFloat64, toInt32 } from './safetensors.ts';

/** One golden model: its files' digests, manifest and tensors. */
export interface GoldenFolder {
  readonly dir: string;
  readonly manifest: Manifest;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** File name -> SHA-256 found, for every file the manifest lists; null where the file is missing. */
  readonly digests: ReadonlyMap<string, string | null>;
}

export async function readGoldenFolder(dir: string): Promise<GoldenFolder> {
  const manifest = Manifest.parse(JSON.parse(await readFile(join(dir, 'manifest.json'), 'utf8')));
  const digests = new Map<string, string | null>();
  for (const name of Object.keys(manifest.sha256)) {
    const bytes = await readFile(join(dir, name)).catch(absent);
    digests.set(name, bytes === null ? null : createHash('sha256').update(bytes).digest('hex'));
  }
  const { tensors } = readSafetensors(await readFile(join(dir, 'goldens.safetensors')));
  return { dir, manifest, tensors, digests };
}

/** The golden folders that a path names: itself, or the folders right below it. Empty where there is none. */
export async function findGoldenFolders(path: string): Promise<string[]> {
  if (await isGolden(path)) return [path];
  const entries = await readdir(path, { withFileTypes: true });
  const found: string[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const child = join(path, entry.name);
    if (entry.isDirectory() && (await isGolden(child))) found.push(child);
  }
  return found;
}

async function isGolden(dir: string): Promise<boolean> {
  const files = ['manifest.json', 'goldens.safetensors'].map((name) => stat(join(dir, name)).catch(absent));
  return (await Promise.all(files)).every((found) => found?.isFile() === true);
}

function absent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
  throw error;
}

/** Tensors by name, remembering which were asked for, so that none goes unchecked without a word. */
export class TensorShelf {
  readonly #tensors: ReadonlyMap<string, StoredTensor>;
  readonly #taken = new Set<string>();

  constructor(tensors: ReadonlyMap<string, StoredTensor>) {
    this.#tensors = tensors;
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  names(): string[] {
    return [...this.#tensors.keys()];
  }

  values(name: string): Float64Array {
    return toFloat64(this.#take(name));
  }

  ids(name: string): Int32Array {
    return toInt32(this.#take(name));
  }

  shape(name: string): readonly number[] {
    return this.#take(name).shape;
  }

  /** Values without counting them as checked. */
  peek(name: string): Float64Array {
    return toFloat64(this.#find(name));
  }

  untouched(): string[] {
    return this.names().filter((name) => !this.#taken.has(name));
  }

  #take(name: string): StoredTensor {
    this.#taken.add(name);
    return this.#find(name);
  }

  #find(name: string): StoredTensor {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) throw new Error(`goldens.safetensors has no tensor ${name}`);
    return tensor;
  }
}
