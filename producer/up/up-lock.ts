import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import { LonghaulError } from '@longhaul/core/contracts';
import { isRunning } from './process-identity.ts';
import { readUpFile } from './up-file.ts';

/** The one `longhaul up` of a directory. */
export interface UpLock {
  release(): Promise<void>;
}

/**
 * Held as a socket name that Linux keeps in memory: one process has it at a time, and it is free again the moment that
 * process ends, however it ends. `up.json` is asked as well, for an `up` in another network namespace.
 * `dir` is a real path. @throws LonghaulError `invalid_config` where an `up` runs on the directory
 */
export async function takeUpLock(dir: string): Promise<UpLock> {
  const name = `\0longhaul-up-${createHash('sha256').update(dir).digest('hex')}`;
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('listening', resolve);
    server.once('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'EADDRINUSE') return reject(cause);
      readUpFile(dir).then(
        (file) => reject(occupied(dir, file?.running === true ? file.pid : null)),
        () => reject(occupied(dir, null)),
      );
    });
    server.listen(name);
  });
  server.unref();
  const release = () => new Promise<void>((resolve) => server.close(() => resolve()));
  const last = await readUpFile(dir);
  if (last?.running === true && (await isRunning(last.pid, last.start))) {
    await release();
    throw occupied(dir, last.pid);
  }
  return { release };
}

function occupied(dir: string, pid: number | null): LonghaulError {
  const process = pid === null ? 'another process' : `process ${pid}`;
  const text = `longhaul up runs on ${dir} already (${process}); stop it first, or take another --data DIR`;
  return new LonghaulError('invalid_config', text);
}
