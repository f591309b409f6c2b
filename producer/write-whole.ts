import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { LonghaulError } from '@longhaul/core/contracts';

/** The file appears under its name only when it is whole. @throws LonghaulError `invalid_argument` naming the file */
export async function writeWhole(path: string, body: Uint8Array): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString('hex')}.part`;
  try {
    const handle = await open(draft, 'wx');
    try {
      await handle.writeFile(body);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, path);
  } catch (cause) {
    await rm(draft, { force: true });
    throw new LonghaulError('invalid_argument', `${path} cannot be written`, { cause });
  }
}
