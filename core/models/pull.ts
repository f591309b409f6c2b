import { mkdir, readdir, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { LonghaulError, RetryableFailure } from '../contracts/errors.ts';
import { fileFailure } from '../ledger/file-errors.ts';
import { type BringProgress, bring } from './bring/bring.ts';
import { Journal } from './bring/journal.ts';
import type { WantedFile } from './bring/part-order.ts';
import { ModelManifest, manifestName, totalBytes, versionDigest } from './manifest.ts';
import { openPool, type PartPool, threadsFor } from './parts/pool.ts';
import type { ResolvedModel } from './resolve.ts';
import { verifyFiles } from './verify.ts';

export interface PullOptions {
  readonly inFlight: number;
  readonly threads: number | null;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: BringProgress) => void;
}

export interface Pulled {
  readonly manifest: ModelManifest;
  readonly bytes: number;
  readonly fetchedBytes: number;
}

/**
 * Brings a model into a directory of its own, verified. It appears by a rename when all of it is right; what a broken
 * attempt leaves lies beside it as `.DIR.partial` and is gone on with, but for files that this version does not have. A
 * directory that holds the version already is verified and left as it is; one that holds anything else is refused.
 */
export async function pullInto(dir: string, resolved: ResolvedModel, options: PullOptions): Promise<Pulled> {
  const { digest, files, partBytes, address, name, fingerprint, source } = resolved;
  const { signal, inFlight, onProgress } = options;
  const bytes = totalBytes(files);
  const standing = await manifestIn(dir);
  if (standing !== null) {
    if (versionDigest(standing.files) !== digest) {
      throw new LonghaulError(
        'invalid_argument',
        `${dir} holds version ${versionDigest(standing.files)}; expected ${digest}`,
      );
    }
    const [damage] = await verifyFiles(dir, standing, options);
    if (damage === undefined) return { manifest: standing, bytes, fetchedBytes: 0 };
    throw new LonghaulError('model_corrupt', `${damage}: remove ${dir} and pull it again`);
  }
  if ((await stat(dir).catch(() => null)) !== null) {
    throw new LonghaulError(
      'invalid_argument',
      `${dir} exists and has no ${manifestName}: name a directory that is not there`,
    );
  }
  const partial = join(dirname(dir), `.${basename(dir)}.partial`);
  const pools: PartPool[] = [];
  try {
    await mkdir(partial, { recursive: true, mode: 0o700 });
    await removeOthers(partial, files);
    const left = (
      await Promise.all(
        files.map(async (file) => ((await stat(join(partial, file.name)).catch(() => null))?.blocks ?? 0) * 512),
      )
    ).reduce((a, b) => a + b, 0);
    const { bavail, bsize } = await statfs(partial);
    if (bytes - left > bavail * bsize) {
      const text = `the model needs ${bytes - left} bytes in ${dirname(dir)}, where ${bavail * bsize} are free`;
      throw new RetryableFailure('store_full', text);
    }
    const threads = options.threads ?? threadsFor(bytes);
    const pool = await openPool(address, threads);
    pools.push(pool);
    const digests = threads === 0 ? pool : await openPool(null, 1);
    if (digests !== pool) pools.push(digests);
    let fetchedBytes = 0;
    const bringing = bring({
      ...{ files, partBytes, dir: partial, pool, digests, inFlight, signal },
      onProgress: (progress) => {
        fetchedBytes = progress.fetched;
        onProgress?.(progress);
      },
    });
    const whole = [...(await bringing.verified)].sort((a, b) => (a.name < b.name ? -1 : 1));
    const createdAt = new Date().toISOString();
    const manifest: ModelManifest = { v: 1, name, partBytes, files: whole, fingerprint, source, createdAt };
    await writeFile(join(partial, manifestName), `${JSON.stringify(manifest)}\n`);
    await rm(Journal.path(partial), { force: true });
    await rename(partial, dir);
    return { manifest, bytes, fetchedBytes };
  } catch (error) {
    if (error instanceof LonghaulError || signal.aborted) throw error;
    throw fileFailure(`pulling into ${dir}`, error);
  } finally {
    await Promise.all(pools.map((pool) => pool.close()));
  }
}

/** The directory will hold the version and nothing else: a loader takes weights by their name. */
async function removeOthers(partial: string, files: readonly WantedFile[]): Promise<void> {
  const ours = new Set([Journal.fileName, ...files.map(({ name }) => name)]);
  for (const name of await readdir(partial)) {
    if (!ours.has(name)) await rm(join(partial, name), { recursive: true });
  }
}

/** The manifest of a directory that was pulled, null where there is none. @throws LonghaulError `model_corrupt` */
export async function manifestIn(dir: string): Promise<ModelManifest | null> {
  const path = join(dir, manifestName);
  const text = await readFile(path, 'utf8').catch(() => null);
  if (text === null) return null;
  try {
    return ModelManifest.parse(JSON.parse(text));
  } catch (cause) {
    throw new LonghaulError('model_corrupt', `${path} is not a manifest`, { cause });
  }
}
