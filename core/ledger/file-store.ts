import { randomUUID } from 'node:crypto';
import * as nodeFs from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { RejectedJob, RetryableFailure } from '../contracts/errors.ts';
import { errnoOf, fileFailure } from './file-errors.ts';
import {
  type ObjectInfo,
  type ObjectStore,
  type ObjectStream,
  PreconditionFailed,
  type StoredObject,
} from './object-store.ts';
import { checkKey, checkPrefix } from './store-key.ts';

/**
 * A directory with the conditional writes of S3, across processes, without locks.
 *
 *   a/head.json          version 1; published by link(2), which creates or fails
 *   a/.head.json/2, 3 …  later versions; version N+1 is published by link(2) too, after N was seen to be the newest
 *   .tmp/<uuid>          bodies being written; complete and synced before they are linked anywhere
 *
 * One rule carries the proof: a version's name, once there, never goes away (until the object is deleted). So N+1 can
 * be created by one process only, ever: the compare-and-swap cannot be fooled by a process that was stopped for a day,
 * nobody waits for anybody, and a process killed at any point leaves a whole old version or a whole new one. The names
 * are contiguous, so the newest version is found by galloping, and a read is current at the moment when N+1 was not
 * there. What a superseded version held is dropped by renaming an empty file over it, which keeps the name at the price
 * of a directory entry. `a/head.json` itself is then refreshed as a copy for people; no reader trusts it.
 *
 * An ETag is version, mtime in ns, and size: cheap for objects of any size, and kept by `cp -a`. `delete` is not
 * conditional: it must not race with `putIfMatch` on the same key.
 */
export interface FileStoreOptions {
  /** Replaced by tests that inject I/O errors. */
  readonly fs?: FileSystem;
}

export type FileSystem = Pick<
  typeof nodeFs,
  'open' | 'link' | 'rename' | 'unlink' | 'mkdir' | 'stat' | 'readdir' | 'rm'
>;

const STALE_TEMP_MS = 24 * 3600 * 1000;
const READ_BYTES = 1024 * 1024;
const CACHE_ENTRIES = 10_000;

/** Opens or makes the directory. Errors: `store_denied`, `store_full`, `store_unavailable`. */
export async function openFileStore(root: string, options: FileStoreOptions = {}): Promise<ObjectStore> {
  const store = new FileStore(path.resolve(root), options.fs ?? nodeFs);
  await store.prepare();
  return store;
}

interface Current {
  readonly version: number;
  readonly handle: nodeFs.FileHandle;
  readonly bytes: number;
  readonly etag: string;
  readonly modifiedAt: Date;
}

class FileStore implements ObjectStore {
  readonly url: string;
  readonly #root: string;
  readonly #temp: string;
  readonly #fs: FileSystem;
  /** Newest version seen per key: where galloping begins, never an answer by itself. */
  readonly #seen = new Map<string, number>();
  /** Directories whose entries in their parents are known to be synced. */
  readonly #durableDirs = new Set<string>();

  constructor(root: string, fs: FileSystem) {
    this.#root = root;
    this.#temp = path.join(root, '.tmp');
    this.#fs = fs;
    this.url = pathToFileURL(root).href;
  }

  async prepare(): Promise<void> {
    await this.#named(`opening the store in ${this.#root}`, async () => {
      await this.#fs.mkdir(this.#temp, { recursive: true });
      await this.#dropStaleTemps().catch(() => {});
    });
  }

  async get(
    key: string,
    options: { readonly maxBytes: number; readonly signal?: AbortSignal },
  ): Promise<StoredObject | null> {
    options.signal?.throwIfAborted();
    return await this.#named(`reading ${key}`, async () => {
      const current = await this.#openCurrent(checkKey(key));
      if (current === null) return null;
      try {
        if (current.bytes > options.maxBytes) {
          throw new RejectedJob(
            'object_too_large',
            `${key} holds ${current.bytes} bytes; at most ${options.maxBytes} are read`,
          );
        }
        const body = await current.handle.readFile();
        return { body, etag: current.etag };
      } finally {
        await current.handle.close();
      }
    });
  }

  async head(key: string, options: { readonly signal?: AbortSignal } = {}): Promise<ObjectInfo | null> {
    options.signal?.throwIfAborted();
    return await this.#named(`looking up ${key}`, async () => {
      const current = await this.#openCurrent(checkKey(key));
      if (current === null) return null;
      await current.handle.close();
      return { key, bytes: current.bytes, etag: current.etag, modifiedAt: current.modifiedAt };
    });
  }

  async openRange(
    key: string,
    options: {
      readonly from: number;
      readonly end?: number;
      readonly ifMatch?: string;
      readonly signal?: AbortSignal;
    },
  ): Promise<ObjectStream | null> {
    options.signal?.throwIfAborted();
    return await this.#named(`reading ${key}`, async () => {
      const current = await this.#openCurrent(checkKey(key));
      if (current === null) return null;
      if (options.ifMatch !== undefined && options.ifMatch !== current.etag) {
        await current.handle.close();
        throw new RejectedJob('source_changed', `${key} has ETag ${current.etag}; expected ${options.ifMatch}`);
      }
      return {
        etag: current.etag,
        totalBytes: current.bytes,
        stream: readRange(key, current, options.from, options.end ?? current.bytes, options.signal),
      };
    });
  }

  async putIfAbsent(
    key: string,
    body: Uint8Array,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly etag: string }> {
    const { etag } = await this.putStreamIfAbsent(key, [body], options);
    return { etag };
  }

  async putStreamIfAbsent(
    key: string,
    body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly etag: string; readonly bytes: number }> {
    checkKey(key);
    return await this.#staged(key, 1, body, options.signal, async (temp, staged) => {
      await this.#publish(temp, key, 1);
      return staged;
    });
  }

  async putIfMatch(
    key: string,
    body: Uint8Array,
    etag: string,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly etag: string }> {
    checkKey(key);
    const next = Number.parseInt(etag, 10) + 1;
    if (!Number.isSafeInteger(next) || next < 2) throw new PreconditionFailed(key, `${etag} is no ETag of this store`);
    return await this.#staged(key, next, [body], options.signal, async (temp, staged) => {
      const current = await this.#openCurrent(key);
      await current?.handle.close();
      if (current?.etag !== etag) {
        throw new PreconditionFailed(key, `its ETag is ${current?.etag ?? 'absent'}, expected ${etag}`);
      }
      await this.#publish(temp, key, next);
      await this.#dropSuperseded(key, next).catch(() => {});
      return { etag: staged.etag };
    });
  }

  async *list(
    prefix: string,
    options: { readonly startAfter?: string; readonly signal?: AbortSignal } = {},
  ): AsyncIterable<ObjectInfo> {
    checkPrefix(prefix);
    yield* this.#walk(prefix.slice(0, prefix.lastIndexOf('/') + 1), prefix, options);
  }

  async delete(key: string): Promise<void> {
    const first = this.#pathOf(checkKey(key), 1);
    await this.#named(`deleting ${key}`, async () => {
      this.#seen.delete(key);
      // Versions before the first: the other way round a new object would begin with the old one's versions.
      await this.#fs.rm(versionsDir(first), { recursive: true, force: true });
      await this.#fs.unlink(first).catch((error) => {
        if (!isAbsent(error)) throw error;
      });
      this.#seen.delete(key);
    });
  }

  async close(): Promise<void> {}

  #pathOf(key: string, version: number): string {
    const first = path.join(this.#root, key);
    return version === 1 ? first : path.join(versionsDir(first), String(version));
  }

  async #exists(file: string): Promise<boolean> {
    try {
      return (await this.#fs.stat(file)).isFile();
    } catch (error) {
      if (isAbsent(error)) return false;
      throw error;
    }
  }

  /** The newest version, or 0: it was there, and the next one was not, at one moment within the call. */
  async #newest(key: string): Promise<number> {
    let there = this.#seen.get(key) ?? 1;
    if (!(await this.#exists(this.#pathOf(key, there)))) {
      if (there === 1 || !(await this.#exists(this.#pathOf(key, 1)))) return 0;
      there = 1;
    }
    let step = 1;
    while (await this.#exists(this.#pathOf(key, there + step))) {
      there += step;
      step *= 2;
    }
    let absent = there + step;
    while (absent - there > 1) {
      const middle = there + Math.floor((absent - there) / 2);
      if (await this.#exists(this.#pathOf(key, middle))) there = middle;
      else absent = middle;
    }
    if (this.#seen.size >= CACHE_ENTRIES) this.#seen.clear();
    if (there > 1) this.#seen.set(key, there);
    return there;
  }

  /** The newest version, open. Its content is dropped only after its successor's name exists, so that is looked at last. */
  async #openCurrent(key: string): Promise<Current | null> {
    for (;;) {
      const version = await this.#newest(key);
      if (version === 0) return null;
      let handle: nodeFs.FileHandle;
      try {
        handle = await this.#fs.open(this.#pathOf(key, version), 'r');
      } catch (error) {
        if (!isAbsent(error)) throw error;
        this.#seen.delete(key); // deleted in between
        continue;
      }
      try {
        const stat = await handle.stat({ bigint: true });
        if (!(await this.#exists(this.#pathOf(key, version + 1)))) {
          const bytes = Number(stat.size);
          return { version, handle, bytes, etag: etagOf(version, stat), modifiedAt: stat.mtime };
        }
      } catch (error) {
        await handle.close();
        throw error;
      }
      await handle.close();
    }
  }

  /** Writes and syncs a body outside the tree, hands it to `use`, and removes its temporary name whatever happens. */
  async #staged<T>(
    key: string,
    version: number,
    body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    signal: AbortSignal | undefined,
    use: (temp: string, staged: { etag: string; bytes: number }) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    const temp = path.join(this.#temp, randomUUID());
    try {
      const handle = await this.#named(`writing ${key}`, async () => await this.#fs.open(temp, 'wx'));
      let staged: { etag: string; bytes: number };
      try {
        for await (const piece of body) {
          signal?.throwIfAborted();
          await this.#named(`writing ${key}`, async () => await handle.writeFile(piece));
        }
        staged = await this.#named(`writing ${key}`, async () => {
          await handle.sync();
          const stat = await handle.stat({ bigint: true });
          return { etag: etagOf(version, stat), bytes: Number(stat.size) };
        });
      } finally {
        await handle.close();
      }
      signal?.throwIfAborted();
      return await this.#named(`publishing ${key}`, async () => await use(temp, staged));
    } finally {
      await this.#fs.unlink(temp).catch(() => {});
    }
  }

  /** The commit point of every write: link(2) creates the name or finds it taken. */
  async #publish(temp: string, key: string, version: number): Promise<void> {
    const target = this.#pathOf(key, version);
    const dir = path.dirname(target);
    await this.#makeDurable(dir);
    try {
      await this.#fs.link(temp, target);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') this.#durableDirs.delete(dir);
      if (errnoOf(error) !== 'EEXIST') throw error;
      throw new PreconditionFailed(key, version === 1 ? 'it exists' : `version ${version} exists`);
    }
    if (version > 1) this.#seen.set(key, version);
    await this.#syncDir(dir);
  }

  async #dropSuperseded(key: string, newest: number): Promise<void> {
    const temp = path.join(this.#temp, randomUUID());
    try {
      await this.#fs.link(this.#pathOf(key, newest), temp);
      await this.#fs.rename(temp, this.#pathOf(key, 1));
      if (newest === 2) return;
      await (await this.#fs.open(temp, 'wx')).close();
      await this.#fs.rename(temp, this.#pathOf(key, newest - 1));
    } finally {
      await this.#fs.unlink(temp).catch(() => {});
    }
  }

  /** Makes a directory and syncs its name, and its ancestors' names, into their parents; once per process. */
  async #makeDurable(dir: string): Promise<void> {
    if (dir === this.#root || this.#durableDirs.has(dir)) return;
    await this.#makeDurable(path.dirname(dir));
    await this.#fs.mkdir(dir).catch((error) => {
      if (errnoOf(error) === 'ENOENT') this.#durableDirs.clear();
      if (errnoOf(error) !== 'EEXIST') throw error;
    });
    await this.#syncDir(path.dirname(dir));
    if (this.#durableDirs.size >= CACHE_ENTRIES) this.#durableDirs.clear();
    this.#durableDirs.add(dir);
  }

  async #syncDir(dir: string): Promise<void> {
    const handle = await this.#fs.open(dir, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  async *#walk(
    dir: string,
    prefix: string,
    options: { readonly startAfter?: string; readonly signal?: AbortSignal },
  ): AsyncIterable<ObjectInfo> {
    const { startAfter = '', signal } = options;
    signal?.throwIfAborted();
    const entries = await this.#named(`listing ${dir}`, async () => {
      try {
        return await this.#fs.readdir(path.join(this.#root, dir), { withFileTypes: true });
      } catch (error) {
        if (isAbsent(error)) return [];
        throw error;
      }
    });
    // A directory sorts as 'name/', which is where its keys stand among the others.
    const names = entries
      .filter((entry) => !entry.name.startsWith('.'))
      .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
      .sort((a, b) => (a < b ? -1 : 1));
    for (const name of names) {
      const key = dir + name;
      if (name.endsWith('/')) {
        // All keys below a directory lie behind `startAfter`, or before it, unless it names one of them.
        const reached = key > startAfter || startAfter.startsWith(key);
        if (reached && (key.startsWith(prefix) || prefix.startsWith(key))) yield* this.#walk(key, prefix, options);
      } else if (key.startsWith(prefix) && key > startAfter) {
        const info = await this.head(key);
        if (info !== null) yield info;
      }
    }
  }

  async #dropStaleTemps(): Promise<void> {
    for (const name of await this.#fs.readdir(this.#temp)) {
      const file = path.join(this.#temp, name);
      const stat = await this.#fs.stat(file).catch(() => null);
      if (stat !== null && Date.now() - stat.mtimeMs > STALE_TEMP_MS) await this.#fs.unlink(file).catch(() => {});
    }
  }

  async #named<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw fileFailure(`${doing} in ${this.url}`, error);
    }
  }
}

function versionsDir(first: string): string {
  return path.join(path.dirname(first), `.${path.basename(first)}`);
}

function etagOf(version: number, stat: { readonly mtimeNs: bigint; readonly size: bigint }): string {
  return `${version}-${stat.mtimeNs.toString(36)}-${stat.size.toString(36)}`;
}

function isAbsent(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 'ENOENT' || errno === 'ENOTDIR';
}

async function* readRange(
  key: string,
  current: Current,
  from: number,
  end: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const stop = Math.min(end, current.bytes);
  try {
    for (let at = from; at < stop; ) {
      signal?.throwIfAborted();
      const buffer = new Uint8Array(Math.min(READ_BYTES, stop - at));
      let bytesRead: number;
      try {
        ({ bytesRead } = await current.handle.read(buffer, 0, buffer.length, at));
      } catch (error) {
        throw fileFailure(`reading ${key} at byte ${at}`, error);
      }
      if (bytesRead === 0) {
        throw new RetryableFailure('store_unavailable', `${key} ended at byte ${at} of ${current.bytes}`);
      }
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await current.handle.close();
  }
}
