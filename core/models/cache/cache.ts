import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, statfs, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { LonghaulError, RetryableFailure } from '../../contracts/errors.ts';
import { fileFailure } from '../../ledger/file-errors.ts';
import { Journal } from '../bring/journal.ts';
import { isWeights, ModelManifest, manifestName, modelLimits, Sha256, totalBytes, versionDigest } from '../manifest.ts';
import { digestFile } from '../parts/digest-file.ts';
import { type Beats, FillLock, isBeating, startBeating, usualBeats } from './beat.ts';

export interface CacheOptions {
  /** Null: none is known. */
  readonly dir: string | null;
  /** Null: as much as the disk holds. */
  readonly limitBytes: number | null;
  readonly beats?: Beats;
}

export interface CachedModel {
  readonly digest: string;
  readonly dir: string;
  readonly manifest: ModelManifest;
  readonly bytes: number;
  readonly usedAt: Date;
  /** Whether the disk surely has all of it: where not, its digests are checked before it is used. */
  readonly durable: boolean;
}

export type Found = CachedModel | { readonly damage: string } | null;

const stateName = '.state.json';
const State = z.object({ boot: z.string(), synced: z.boolean() });

/**
 * Weights on the local disk, by digest, shared by the processes of a machine.
 *
 *   {digest}/             a version: its files, model.json, and .state.json, whether the disk surely has them
 *   .partial/{digest}/    a version that is being brought
 *   .lock/{digest}/{n}    who brings it
 *   .use/{digest}.{id}    who uses it: no process makes room by taking away what another one reads
 *   .refs/{sha256}         which version a commit of the hub is, by the digest of its name
 *   .trash/{id}           what is being deleted
 *
 * A version appears by one rename, so it is there as a whole or not at all.
 */
export class ModelCache {
  readonly dir: string;
  readonly #limitBytes: number | null;
  readonly #beats: Beats;

  private constructor(dir: string, { limitBytes, beats = usualBeats }: CacheOptions) {
    this.dir = dir;
    this.#limitBytes = limitBytes;
    this.#beats = beats;
  }

  /** @throws LonghaulError `invalid_config` where no directory is known */
  static async open(options: CacheOptions): Promise<ModelCache> {
    const { dir } = options;
    if (dir === null) {
      throw new LonghaulError(
        'invalid_config',
        'LONGHAUL_MODEL_CACHE is not set, and there is no HOME to keep models in',
      );
    }
    await named(`opening the model cache ${dir}`, async () => {
      for (const name of ['', '.partial', '.lock', '.use', '.refs', '.trash']) {
        await mkdir(join(dir, name), { recursive: true, mode: 0o700 });
      }
    });
    return new ModelCache(dir, options);
  }

  pathOf(digest: string): string {
    return join(this.dir, Sha256.parse(digest));
  }

  partialOf(digest: string): string {
    return join(this.dir, '.partial', Sha256.parse(digest));
  }

  /** A version as its own record and the sizes of its files say; small files are hashed, weights are not. */
  async find(digest: string): Promise<Found> {
    const dir = this.pathOf(digest);
    const record = await stat(join(dir, manifestName)).catch(() => null);
    if (record === null) {
      return (await stat(dir).catch(() => null)) === null ? null : { damage: `${dir} has no ${manifestName}` };
    }
    if (record.size > modelLimits.manifestBytes) return { damage: `${manifestName} has ${record.size} bytes` };
    const read = ModelManifest.safeParse(parseJson(await readFile(join(dir, manifestName), 'utf8').catch(() => '')));
    if (!read.success) return { damage: `${dir}/${manifestName} is not what it should be` };
    const manifest = read.data;
    const own = versionDigest(manifest.files);
    if (own !== digest) return { damage: `${dir}/${manifestName} is of version ${own}` };
    for (const { name, bytes, sha256 } of manifest.files) {
      const path = join(dir, name);
      const found = await stat(path).catch(() => null);
      if (found?.size !== bytes) return { damage: `${path} has ${found?.size ?? 'no'} bytes; expected ${bytes}` };
      if (isWeights(name) || bytes > modelLimits.smallBytes) continue;
      const digests = await digestFile(path, { bytes, partBytes: manifest.partBytes, wantParts: false });
      if (digests.sha256 !== sha256) return { damage: `${path} has sha256 ${digests.sha256}; expected ${sha256}` };
    }
    const state = State.safeParse(parseJson(await readFile(join(dir, stateName), 'utf8').catch(() => '')));
    const durable = state.success && (state.data.synced || state.data.boot === (await bootId()));
    return { digest, dir, manifest, bytes: totalBytes(manifest.files), usedAt: record.mtime, durable };
  }

  /** Says that a version is in use from now on, until the returned function is called. */
  async use(digest: string): Promise<() => Promise<void>> {
    const mark = join(this.dir, '.use', `${digest}.${randomUUID()}`);
    // A cache that cannot be written to is one that nobody deletes from.
    const made = await writeFile(mark, '', { mode: 0o600 }).then(
      () => true,
      () => false,
    );
    if (!made) return async () => {};
    const now = new Date();
    await utimes(join(this.pathOf(digest), manifestName), now, now).catch(() => {});
    const stop = startBeating(mark, this.#beats);
    return async () => {
      stop();
      await rm(mark, { force: true });
    };
  }

  /** The right to bring a version, null where another process has it. */
  async lock(digest: string): Promise<FillLock | null> {
    const dir = this.#lockOf(digest);
    return await named(`locking ${dir}`, async () => {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      return await FillLock.take(dir, this.#beats);
    });
  }

  /**
   * Room for `bytes` more: the versions that were used longest ago go, but none that is in use.
   * @throws RetryableFailure `store_full` with what is needed and what is free; `invalid_config` for a limit below the model
   */
  async makeRoom(digest: string, bytes: number): Promise<readonly string[]> {
    const limit = this.#limitBytes ?? Number.POSITIVE_INFINITY;
    if (bytes > limit) {
      const text = `LONGHAUL_MODEL_CACHE_GIB: the model has ${bytes} bytes, the cache may have ${limit}`;
      throw new LonghaulError('invalid_config', text);
    }
    await this.#emptyTrash();
    const gone: string[] = [];
    for (;;) {
      const held = await this.#holdings();
      const others = held.filter((one) => one.digest !== digest);
      const ours = held.find((one) => one.digest === digest && one.partial)?.allocated ?? 0;
      const used = others.reduce((sum, { allocated, toCome }) => sum + allocated + toCome, 0);
      const { bavail, bsize } = await statfs(this.dir);
      const free = Math.max(0, bavail * bsize - others.reduce((sum, { toCome }) => sum + toCome, 0));
      const need = Math.max(0, bytes - ours);
      if (used + bytes <= limit && need <= free) return gone;
      const candidates = others
        .filter(({ digest: other }) => !gone.includes(other))
        .sort((a, b) => a.usedMs - b.usedMs);
      const next = await firstOf(candidates, async (one) => await this.#drop(one));
      if (next === null) {
        const why = need > free ? `${free} bytes are free` : `${used} of the ${limit} that it may have are in use`;
        throw new RetryableFailure('store_full', `the model needs ${need} bytes in ${this.dir}, where ${why}`);
      }
      gone.push(next.digest);
    }
  }

  /**
   * Makes a version that was brought, and whose digests are right, the cache's own. The disk may not have it yet: until
   * `sync` has seen to that, it is believed by those who came up with the same boot of the machine.
   */
  async publish(digest: string, manifest: ModelManifest): Promise<void> {
    const partial = this.partialOf(digest);
    await named(`publishing ${digest} in ${this.dir}`, async () => {
      await writeFile(join(partial, manifestName), `${JSON.stringify(manifest)}\n`, { mode: 0o600 });
      await writeFile(join(partial, stateName), JSON.stringify({ boot: await bootId(), synced: false }), {
        mode: 0o600,
      });
      await rm(Journal.path(partial), { force: true });
      try {
        await rename(partial, this.pathOf(digest));
      } catch (error) {
        if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
        await this.#delete(partial);
      }
    });
  }

  /** Waits until the disk has the version, and says so in it. */
  async sync({ digest, manifest }: { readonly digest: string; readonly manifest: ModelManifest }): Promise<void> {
    const dir = this.pathOf(digest);
    await named(`syncing ${dir}`, async () => {
      for (const name of [...manifest.files.map((file) => file.name), manifestName, '.'])
        await syncPath(join(dir, name));
      await syncPath(this.dir);
      await writeFile(join(dir, stateName), JSON.stringify({ boot: await bootId(), synced: true }), { mode: 0o600 });
    });
  }

  /** What `text`, which means one version for all time, was found to be; null where it is not known. */
  async recall(text: string): Promise<string | null> {
    const digest = await readFile(this.#refOf(text), 'latin1').catch(() => '');
    return Sha256.safeParse(digest).success ? digest : null;
  }

  /** Best effort: what is not remembered is asked for again. */
  async remember(text: string, digest: string): Promise<void> {
    const temporary = join(this.dir, '.trash', randomUUID());
    await writeFile(temporary, digest, { mode: 0o600 })
      .then(() => rename(temporary, this.#refOf(text)))
      .catch(() => {});
  }

  #lockOf(digest: string): string {
    return join(this.dir, '.lock', Sha256.parse(digest));
  }

  #refOf(text: string): string {
    return join(this.dir, '.refs', createHash('sha256').update(text).digest('hex'));
  }

  /** Takes a version away, used or not. */
  async remove(digest: string): Promise<void> {
    await named(`removing ${digest} from ${this.dir}`, async () => await this.#delete(this.pathOf(digest)));
  }

  async list(): Promise<(CachedModel | { readonly digest: string; readonly damage: string })[]> {
    const names = (await readdir(this.dir)).filter((name) => Sha256.safeParse(name).success).sort();
    const all: (CachedModel | { readonly digest: string; readonly damage: string })[] = [];
    for (const digest of names) {
      const found = await this.find(digest);
      if (found !== null) all.push('damage' in found ? { digest, ...found } : found);
    }
    return all;
  }

  async #holdings(): Promise<Holding[]> {
    const all: Holding[] = [];
    for (const [place, partial] of [
      [this.dir, false],
      [join(this.dir, '.partial'), true],
    ] as const) {
      for (const digest of await readdir(place)) {
        if (!Sha256.safeParse(digest).success) continue;
        const dir = join(place, digest);
        const used = await stat(partial ? Journal.path(dir) : join(dir, manifestName)).catch(() => null);
        const { allocated, length } = await sizeOf(dir);
        const grows = partial && (await FillLock.isHeld(this.#lockOf(digest), this.#beats));
        const toCome = grows ? Math.max(0, length - allocated) : 0;
        all.push({ digest, dir, partial, allocated, toCome, usedMs: used?.mtimeMs ?? 0 });
      }
    }
    return all;
  }

  /** False where it is in use. Looked at again behind the rename: who begins to use it in between gets it back. */
  async #drop({ digest, dir, partial }: Holding): Promise<boolean> {
    if (partial) {
      const lock = await this.lock(digest);
      if (lock === null) return false;
      await this.#delete(dir).finally(() => lock.release());
      return true;
    }
    if (await this.#inUse(digest)) return false;
    const trash = join(this.dir, '.trash', randomUUID());
    await rename(dir, trash).catch(() => {});
    if (await this.#inUse(digest)) {
      await rename(trash, dir).catch(() => {});
      return false;
    }
    await rm(trash, { recursive: true, force: true });
    return true;
  }

  async #inUse(digest: string): Promise<boolean> {
    const dir = join(this.dir, '.use');
    for (const name of await readdir(dir)) {
      if (!name.startsWith(`${digest}.`)) continue;
      if (await isBeating(join(dir, name), this.#beats)) return true;
      await rm(join(dir, name), { force: true });
    }
    return false;
  }

  /**
   * What a process that is gone was deleting. The rename into the trash is its last change: whoever lives deletes it, or
   * puts it back, right behind that. Best effort, as the room is looked at afterwards.
   */
  async #emptyTrash(): Promise<void> {
    const trash = join(this.dir, '.trash');
    for (const name of await readdir(trash)) {
      const path = join(trash, name);
      const found = await stat(path).catch(() => null);
      if (found === null || Date.now() - found.ctimeMs < this.#beats.staleMs) continue;
      await rm(path, { recursive: true, force: true }).catch(() => {});
    }
  }

  /** By a rename first: nobody sees a version half deleted. */
  async #delete(dir: string): Promise<void> {
    const trash = join(this.dir, '.trash', randomUUID());
    await rename(dir, trash).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
    await rm(trash, { recursive: true, force: true });
  }
}

interface Holding {
  readonly digest: string;
  readonly dir: string;
  readonly partial: boolean;
  /** Bytes on the disk: a file that is laid out takes what was written of it. */
  readonly allocated: number;
  /** Bytes that somebody is bringing into it and are not there yet. */
  readonly toCome: number;
  readonly usedMs: number;
}

/** What the files of a directory take of the disk, and how long they are. */
async function sizeOf(dir: string): Promise<{ readonly allocated: number; readonly length: number }> {
  let [allocated, length] = [0, 0];
  for (const name of await readdir(dir).catch(() => [])) {
    const found = await stat(join(dir, name)).catch(() => null);
    allocated += (found?.blocks ?? 0) * 512;
    length += found?.size ?? 0;
  }
  return { allocated, length };
}

async function firstOf<T>(items: readonly T[], works: (item: T) => Promise<boolean>): Promise<T | null> {
  for (const item of items) if (await works(item)) return item;
  return null;
}

async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r');
  await file.sync().finally(() => file.close());
}

/** Of this boot of the machine: what its memory holds of the disk is lost with it. */
async function bootId(): Promise<string> {
  return await readFile('/proc/sys/kernel/random/boot_id', 'utf8').then(
    (text) => text.trim(),
    () => randomUUID(),
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function named<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof LonghaulError ? error : fileFailure(doing, error);
  }
}
