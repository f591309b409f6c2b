// The identity of a model: what a snapshot must match to be restored.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import type { ModelConfig } from './config.ts';

/**
 * sha256 (hex) of canonical JSON: the resolved configuration with sorted keys, then the sha256 of each weight file in
 * the order of their names. `known` are those of files that need not be read. Names and folders do not count, and neither do config.json's keys that change no result.
 */
export async function modelDigest(
  config: ModelConfig,
  files: readonly string[],
  known: ReadonlyMap<string, string> = new Map(),
): Promise<string> {
  const weights: string[] = [];
  for (const file of files) weights.push(known.get(basename(file)) ?? (await fileDigest(file)));
  const canonical = JSON.stringify({ config: Object.fromEntries(Object.entries(config).sort()), weights });
  return createHash('sha256').update(canonical).digest('hex');
}

async function fileDigest(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
