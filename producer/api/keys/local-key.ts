import { randomBytes } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { LonghaulError } from '@longhaul/core/contracts';
import { parseApiKey, secretMatches } from './api-key.ts';
import type { ApiKeys } from './api-keys.ts';

/**
 * The key of whoever may read a file: made where the file has none that the store knows. Mode 0600, so that other users
 * of the machine, whose requests reach a loopback address as well, have no part in it.
 */
export async function ensureLocalKey(keys: ApiKeys, path: string): Promise<void> {
  if (await holds(keys, path)) return;
  const { key } = await keys.create({ tenant: 'default', name: 'longhaul up', operator: true });
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    const handle = await open(draft, 'wx', 0o600);
    try {
      await handle.writeFile(`${key}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, path);
  } catch (cause) {
    await rm(draft, { force: true });
    throw new LonghaulError('invalid_config', `the API key file ${path} cannot be written`, { cause });
  }
}

async function holds(keys: ApiKeys, path: string): Promise<boolean> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw new LonghaulError('invalid_config', `the API key file ${path} cannot be read`, { cause });
  }
  const parsed = parseApiKey(text.trim());
  const record = parsed === null ? null : await keys.find(parsed.id);
  return record !== null && record.revokedAt === null && secretMatches(parsed!.secret, record.sha256);
}
