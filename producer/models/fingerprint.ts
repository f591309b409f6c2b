import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ModelFile, ModelFingerprint, type Origin } from '@longhaul/core/models';
import type { CommandContext } from '../context.ts';
import { fingerprintOf } from '../fingerprint.ts';
import { findProgram } from '../programs.ts';

/**
 * What a state must match to be of a model that is being pushed, asked of the worker's program, which is given the digests
 * of the weights and reads none of them. Null where the worker is not installed here.
 */
export async function fingerprintOfPush(
  { dir, files }: Origin,
  hashed: readonly ModelFile[],
  context: CommandContext,
): Promise<ModelFingerprint | null> {
  if (findProgram('worker') === null) return null;
  const temporary = await mkdtemp(join(tmpdir(), 'longhaul-push-'));
  try {
    if (dir === null) {
      for (const file of files) {
        if (file.name.endsWith('.safetensors')) continue;
        await writeFile(join(temporary, file.name), file.open(context.signal));
      }
    }
    const weights = hashed.filter(({ name }) => name.endsWith('.safetensors'));
    const digests = join(temporary, '.digests');
    await writeFile(digests, JSON.stringify(Object.fromEntries(weights.map(({ name, sha256 }) => [name, sha256]))));
    return ModelFingerprint.parse(await fingerprintOf(dir ?? temporary, 'model push', context, ['--digests', digests]));
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}
