import { constants } from 'node:fs';
import { type FileHandle, lstat, open, realpath } from 'node:fs/promises';
import { sep } from 'node:path';
import { LonghaulError, RejectedJob, RetryableFailure, type SourcePin } from '@longhaul/core/contracts';
import { changed, describePin, firstBytes, type RawSource } from './raw-source.ts';

const chunkBytes = 256 * 1024;

/** A regular file below one of the worker's roots, links resolved, pinned by size, modification time and inode. */
export async function openFile(path: string, roots: readonly string[]): Promise<RawSource> {
  return await named(path, async () => {
    const real = await realpath(path);
    await checkRoots(path, real, roots);
    const stat = await lstat(real);
    if (!stat.isFile()) throw new RejectedJob('source_forbidden', `${path} is not a regular file`);
    const handle = await openReal(real);
    let pin: SourcePin;
    try {
      pin = await pinOf(handle);
    } finally {
      await handle.close();
    }
    const read = (from: number, signal: AbortSignal) => readPinned(path, real, pin, from, signal);
    return { name: path, pin, head: (signal) => firstBytes(read(0, signal)), read };
  });
}

async function* readPinned(
  path: string,
  real: string,
  pin: SourcePin,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const handle = await named(path, () => openReal(real));
  try {
    await checkUnchanged(path, handle, pin);
    for (let at = from; at < pin.bytes!; ) {
      signal.throwIfAborted();
      const buffer = Buffer.allocUnsafeSlow(Math.min(chunkBytes, pin.bytes! - at));
      const { bytesRead } = await named(path, () => handle.read(buffer, 0, buffer.length, at));
      // What was just read is of the pinned version only if the file is still that after the read.
      await checkUnchanged(path, handle, pin);
      if (bytesRead === 0) throw changed(path, `${pin.bytes} bytes`, `an end at ${at}`);
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

async function checkRoots(path: string, real: string, roots: readonly string[]): Promise<void> {
  for (const root of roots) {
    const realRoot = await realpath(root).catch(() => null);
    if (realRoot === null) continue;
    if (real.startsWith(realRoot.endsWith(sep) ? realRoot : realRoot + sep)) return;
  }
  const where = roots.length === 0 ? 'it is empty' : `it allows ${roots.join(', ')}`;
  const what = real === path ? path : `${path} (which is ${real})`;
  throw new RejectedJob('source_forbidden', `${what} is outside of LONGHAUL_FILE_ROOTS: ${where}`);
}

async function openReal(real: string): Promise<FileHandle> {
  // No link is followed any more, and a pipe put in the file's place does not block.
  return await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
}

async function pinOf(handle: FileHandle): Promise<SourcePin> {
  const stat = await handle.stat({ bigint: true });
  return { tag: `stat:${stat.size}:${stat.mtimeNs}:${stat.ino}`, bytes: Number(stat.size) };
}

async function checkUnchanged(path: string, handle: FileHandle, pin: SourcePin): Promise<void> {
  const now = await pinOf(handle);
  if (now.tag !== pin.tag) throw changed(path, describePin(pin), describePin(now));
}

async function named<T>(path: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    if (cause instanceof LonghaulError) throw cause;
    switch ((cause as NodeJS.ErrnoException).code) {
      case 'ENOENT':
      case 'ENOTDIR':
        throw new RejectedJob('source_not_found', `${path} does not exist`, { cause });
      case 'EACCES':
      case 'EPERM':
      case 'ELOOP':
        throw new RejectedJob('source_forbidden', `${path} may not be read`, { cause });
      default:
        throw new RetryableFailure('source_unreadable', `${path} cannot be read`, { cause });
    }
  }
}
