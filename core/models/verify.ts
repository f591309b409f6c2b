import { join } from 'node:path';
import { describeError, errorCode } from '../contracts/errors.ts';
import { type ModelManifest, totalBytes } from './manifest.ts';
import { openPool, threadsFor } from './parts/pool.ts';

export interface VerifyOptions {
  /** Null: as many as the model is worth. */
  readonly threads: number | null;
  readonly signal: AbortSignal;
}

/** What is wrong with the files of a directory, by every digest of the manifest; nothing where all is right. */
export async function verifyFiles(
  dir: string,
  { files, partBytes }: Pick<ModelManifest, 'files' | 'partBytes'>,
  { threads, signal }: VerifyOptions,
): Promise<readonly string[]> {
  const pool = await openPool(null, Math.min(files.length, threads ?? threadsFor(totalBytes(files))));
  try {
    const found = await Promise.all(
      files.map(async ({ name, bytes, sha256, parts }) => {
        const path = join(dir, name);
        try {
          const digests = await pool.run(
            { kind: 'digest', path, bytes, partBytes, wantParts: true, follows: false },
            signal,
          );
          if (digests.sha256 !== sha256) return [`${path} has sha256 ${digests.sha256}; expected ${sha256}`];
          const other = parts.findIndex((part, i) => part !== digests.parts[i]);
          return other < 0
            ? []
            : [`${path}: part ${other} has sha256 ${digests.parts[other]}; expected ${parts[other]}`];
        } catch (error) {
          signal.throwIfAborted();
          if (errorCode(error) === 'internal') throw error;
          return [describeError(error)];
        }
      }),
    );
    return found.flat();
  } finally {
    await pool.close();
  }
}
