// Golden models, and ways to damage copies of them.
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadModel, type Model, type Session } from '../../native/index.ts';

export const cpu = { device: 'cpu', weights: 'as-stored', activations: 'f32', threads: 2, slots: null } as const;

export const golden = (name: string) => fileURLToPath(new URL(`../fixtures/golden/${name}`, import.meta.url));

export async function load(t: TestContext, name: string): Promise<Model> {
  const model = await loadModel(golden(name), cpu);
  t.after(() => model.close());
  return model;
}

/** Ids that look random and are the same in every run. */
export function someTokens(count: number, vocabSize: number, seed = 1): Int32Array {
  let x = seed;
  return Int32Array.from({ length: count }, () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return (x >>> 8) % vocabSize;
  });
}

export async function lastLogits(model: Model, session: Session, tokens: Int32Array): Promise<Float32Array> {
  const [result] = await model.step([{ session, tokens, want: { kind: 'logits', positions: 'last' } }]);
  if (result?.kind !== 'logits') throw new Error(`expected logits, found ${result?.kind}`);
  return result.logits;
}

export interface ModelCopy {
  readonly dir: string;
  config(change: Record<string, unknown>): Promise<void>;
  header(change: (header: Header) => void): Promise<void>;
  weights(change: (bytes: Buffer) => Buffer): Promise<void>;
}
export type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;

/** A writable copy of a golden model, removed after the test. */
export async function copyOf(t: TestContext, name: string): Promise<ModelCopy> {
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-model-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  for (const file of ['config.json', 'model.safetensors']) await cp(join(golden(name), file), join(dir, file));
  const file = join(dir, 'model.safetensors');
  const weights = async (change: (bytes: Buffer) => Buffer) => writeFile(file, change(await readFile(file)));
  return {
    dir,
    weights,
    config: async (change) => {
      const path = join(dir, 'config.json');
      await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), ...change }));
    },
    header: (change) =>
      weights((bytes) => {
        const end = 8 + Number(bytes.readBigUInt64LE());
        const header = JSON.parse(bytes.toString('utf8', 8, end)) as Header;
        change(header);
        return withHeader(JSON.stringify(header), bytes.subarray(end));
      }),
  };
}

export function withHeader(header: string, data: Buffer): Buffer {
  const text = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, data]);
}
