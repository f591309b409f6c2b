import { randomBytes } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LonghaulError, ModelName } from '@longhaul/core/contracts';
import { z } from 'zod';

/** `DIR/up.json`: how other commands find what `longhaul up` runs. Holds the password of Redis, so it is mode 0600. */
export const UpFile = z.strictObject({
  v: z.literal(1),
  pid: z.number().int().positive(),
  /** Of the process `pid`: see `processStart`. */
  start: z.string(),
  /** False once it was stopped; the addresses stay, since the ledger can be read without it. */
  running: z.boolean(),
  redisUrl: z.string(),
  storeUrl: z.string(),
  model: ModelName,
  modelDir: z.string(),
  /** Where the HTTP API answers; null where none runs. */
  apiUrl: z.string().nullable().default(null),
  workers: z.array(z.strictObject({ id: z.string(), pid: z.number().int().positive() })),
});
export type UpFile = z.infer<typeof UpFile>;

const name = 'up.json';

/** Null where no `up` has run in the directory. @throws LonghaulError `invalid_config` for a file that is not ours. */
export async function readUpFile(dir: string): Promise<UpFile | null> {
  const path = join(dir, name);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new LonghaulError('invalid_config', `${path} cannot be read`, { cause: error });
  }
  try {
    return UpFile.parse(JSON.parse(text));
  } catch (error) {
    throw new LonghaulError('invalid_config', `${path} was not written by this longhaul: remove it`, { cause: error });
  }
}

/** All of it or nothing: readers see the last file or this one. */
export async function writeUpFile(dir: string, file: UpFile): Promise<void> {
  const path = join(dir, name);
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    const handle = await open(draft, 'wx', 0o600);
    try {
      await handle.writeFile(`${JSON.stringify(file, null, 2)}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}
