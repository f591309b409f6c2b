import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LonghaulError, ModelName } from '@longhaul/core/contracts';
import { parseModelReference } from '@longhaul/core/models/reference';
import { defaultModelName, isDirectory } from './home.ts';

/** The repository's `models/`, beside the producer. */
const models = join(dirname(dirname(fileURLToPath(import.meta.url))), 'models');

/**
 * A directory, or the name of one below `models/`; the served name is the directory's own.
 * @throws LonghaulError `model_not_found`, `model_incomplete`, `invalid_argument`
 */
export async function findModel(
  asked: string | null,
  cwd: string,
): Promise<{ readonly dir: string; readonly name: string }> {
  const wanted = asked ?? defaultModelName;
  if (parseModelReference(wanted).kind !== 'directory') {
    const text = `${wanted} is not on this machine: \`longhaul model pull ${wanted} DIR\` brings it, then name DIR`;
    throw new LonghaulError('model_not_found', text);
  }
  const candidates = wanted.includes('/') ? [resolve(cwd, wanted)] : [resolve(cwd, wanted), join(models, wanted)];
  for (const dir of candidates) {
    if (!(await isDirectory(dir))) continue;
    const missing = missingFiles(dir);
    if (missing.length > 0) throw new LonghaulError('model_incomplete', `${dir} lacks ${missing.join(' and ')}`);
    const name = ModelName.safeParse(basename(dir));
    if (name.success) return { dir, name: name.data };
    throw new LonghaulError('invalid_argument', `${basename(dir)} cannot name a model: 1 to 63 of A-Z a-z 0-9 . _ -`);
  }
  throw new LonghaulError('model_not_found', `no model directory ${candidates.join(' nor ')}`);
}

/** Files that a model directory cannot do without. */
function missingFiles(dir: string): readonly string[] {
  const has = (name: string) => existsSync(join(dir, name));
  const missing = ['config.json', 'tokenizer.json'].filter((name) => !has(name));
  if (!has('model.safetensors') && !has('model.safetensors.index.json')) missing.push('model.safetensors');
  return missing;
}
