import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { RejectedJob } from '../../contracts/errors.ts';
import { fileFailure } from '../../ledger/file-errors.ts';

const READ_BYTES = 1024 * 1024;

export interface FileDigests {
  readonly sha256: string;
  /** sha256 of each part, in their order; empty where nobody asked. */
  readonly parts: readonly string[];
}

export interface DigestOptions {
  readonly bytes: number;
  readonly partBytes: number;
  /** Parts that were hashed by whoever brought them are not hashed again. */
  readonly wantParts: boolean;
  /** Resolves when the part may be read; a file that is still being brought is read behind its bringers. */
  readonly ready?: (part: number) => Promise<void>;
  readonly signal?: AbortSignal;
}

/**
 * The digests of a file of so many bytes, in one pass. Reads without the event loop between two turns of it, which is what
 * a thread of its own is for. A file that is longer or shorter is `model_corrupt`.
 */
export async function digestFile(path: string, options: DigestOptions): Promise<FileDigests> {
  const { bytes, partBytes, wantParts, ready, signal } = options;
  const whole = createHash('sha256');
  const parts: string[] = [];
  const buffer = new Uint8Array(READ_BYTES);
  let fd = -1;
  try {
    for (let from = 0; from < bytes; from += partBytes) {
      await ready?.(from / partBytes);
      if (fd < 0) fd = openSync(path, 'r');
      const end = Math.min(bytes, from + partBytes);
      const part = wantParts ? createHash('sha256') : null;
      for (let at = from; at < end; ) {
        signal?.throwIfAborted();
        const n = readSync(fd, buffer, 0, Math.min(READ_BYTES, end - at), at);
        if (n === 0) throw new RejectedJob('model_corrupt', `${path} ends at byte ${at}; expected ${bytes} bytes`);
        const piece = buffer.subarray(0, n);
        whole.update(piece);
        part?.update(piece);
        at += n;
        await turn();
      }
      if (part !== null) parts.push(part.digest('hex'));
    }
    if (fd < 0) fd = openSync(path, 'r');
    if (readSync(fd, buffer, 0, 1, bytes) > 0) {
      throw new RejectedJob('model_corrupt', `${path} goes on behind byte ${bytes}, where it must end`);
    }
    return { sha256: whole.digest('hex'), parts };
  } catch (error) {
    signal?.throwIfAborted();
    throw fileFailure(`reading ${path}`, error);
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

/** The sha256 of bytes [from, end) of an open file; null where it ends before them. */
export function digestRange(fd: number, from: number, end: number): string | null {
  const hash = createHash('sha256');
  const buffer = new Uint8Array(Math.min(READ_BYTES, end - from));
  for (let at = from; at < end; ) {
    const n = readSync(fd, buffer, 0, Math.min(buffer.length, end - at), at);
    if (n === 0) return null;
    hash.update(buffer.subarray(0, n));
    at += n;
  }
  return hash.digest('hex');
}
