import { randomBytes } from 'node:crypto';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LonghaulError } from '@longhaul/core/contracts';
import { isRunning, processStart } from './process-identity.ts';

/** The one `longhaul up` of a directory. */
export interface UpLock {
  readonly start: string;
  release(): Promise<void>;
}

/**
 * `DIR/up.lock` names the process that runs here. A file of a process that is gone is put aside and replaced; a link
 * makes the file whole at once, and fails where there is one.
 * @throws LonghaulError `invalid_config` where an `up` runs here
 */
export async function takeUpLock(dir: string, pid: number): Promise<UpLock> {
  const path = join(dir, 'up.lock');
  const start = (await processStart(pid)) ?? '';
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(draft, JSON.stringify({ pid, start }), { mode: 0o600, flag: 'wx' });
  try {
    for (let attempt = 0; attempt < 5; attempt++) {
      try {
        await link(draft, path);
        return { start, release: () => rm(path, { force: true }) };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      await putAsideIfStale(path, dir);
    }
    throw new LonghaulError('invalid_config', `${path} keeps changing: is another longhaul up starting there?`);
  } finally {
    await rm(draft, { force: true });
  }
}

async function putAsideIfStale(path: string, dir: string): Promise<void> {
  const holder = await readHolder(path);
  if (holder !== null && (await isRunning(holder.pid, holder.start))) throw occupied(dir, holder.pid);
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  // Another starter may have replaced the stale file between our look and our rename: it keeps its place.
  const moved = await readHolder(aside);
  if (moved !== null && (await isRunning(moved.pid, moved.start))) {
    await link(aside, path).catch(() => undefined);
    await rm(aside, { force: true });
    throw occupied(dir, moved.pid);
  }
  await rm(aside, { force: true });
}

async function readHolder(path: string): Promise<{ pid: number; start: string } | null> {
  try {
    const { pid, start } = JSON.parse(await readFile(path, 'utf8')) as { pid: unknown; start: unknown };
    return typeof pid === 'number' && typeof start === 'string' ? { pid, start } : null;
  } catch {
    return null;
  }
}

function occupied(dir: string, pid: number): LonghaulError {
  return new LonghaulError(
    'invalid_config',
    `longhaul up runs on ${dir} already (process ${pid}); stop it first, or take another --data DIR`,
  );
}
