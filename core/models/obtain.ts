import { mkdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError } from '../contracts/errors.ts';
import type { StoreOptions } from '../ledger/store-config.ts';
import type { Arrivals } from './bring/arrivals.ts';
import { type BringProgress, bring } from './bring/bring.ts';
import type { FillLock } from './cache/beat.ts';
import { type CachedModel, ModelCache } from './cache/cache.ts';
import { isWeights, type ModelManifest, totalBytes } from './manifest.ts';
import { openPool, type PartPool, threadsFor } from './parts/pool.ts';
import { referenceText } from './reference.ts';
import { type RemoteReference, type ResolvedModel, resolveModel } from './resolve.ts';
import type { TransferOptions } from './settings.ts';
import { verifyFiles } from './verify.ts';

export type ObtainEvent =
  | { readonly kind: 'waiting'; readonly digest: string }
  | { readonly kind: 'damaged'; readonly digest: string; readonly damage: string }
  | { readonly kind: 'removed'; readonly digest: string }
  | { readonly kind: 'pulling'; readonly digest: string; readonly from: string; readonly bytes: number }
  | ({ readonly kind: 'progress' } & BringProgress)
  | { readonly kind: 'unsynced'; readonly digest: string; readonly reason: string };

export interface ObtainOptions {
  readonly store: StoreOptions;
  readonly transfer: TransferOptions;
  readonly signal: AbortSignal;
  readonly onEvent: (event: ObtainEvent) => void;
}

/** A model on the local disk, or on its way to it. */
export interface ObtainedModel {
  readonly digest: string;
  /** Configuration and tokenizer are there; weights too, where `arriving` is null. */
  readonly dir: string;
  /** sha256 of each file by name. */
  readonly digests: ReadonlyMap<string, string>;
  readonly bytes: number;
  readonly how: 'cached' | 'pulled' | 'waited';
  /** What came over the network; 0 for a model that was there. */
  readonly fetchedBytes: () => number;
  /** Weights may be read part by part as they are announced here. */
  readonly arriving: { readonly arrivals: Arrivals; readonly partBytes: number } | null;
  /** All has come · every digest is right. */
  readonly fetched: Promise<void>;
  readonly verified: Promise<void>;
  /** Nobody opens files in `dir` any more: the cache takes it, once it is verified. */
  finish(): Promise<void>;
  /** Gives up what is not finished; what has come stays for the next attempt. */
  abandon(): Promise<void>;
}

const POLL_MS = 200;

/**
 * Finds a model in the cache, or begins to bring it there.
 *
 *   in the cache, and looks right ─▶ use it
 *   being brought by another process ─▶ wait; go on where that one ends
 *   else ─▶ make room, bring it (what an earlier attempt left is used), and let it be read while it comes
 */
export async function obtainModel(reference: RemoteReference, options: ObtainOptions): Promise<ObtainedModel> {
  const { store, transfer, signal } = options;
  const cache = await ModelCache.open(transfer.cache);
  // A version that is named by its digest needs nobody's answer.
  const pinned = reference.kind === 'store' ? reference.digest : await cache.recall(referenceText(reference));
  if (pinned !== null) {
    const found = await fromCache(cache, pinned, 'cached', options);
    if (found !== null) return found;
  }
  const resolved = await resolveModel(reference, { store, hub: transfer.hub, signal });
  let waited = false;
  for (;;) {
    const how = waited ? 'waited' : 'cached';
    const found = await fromCache(cache, resolved.digest, how, options);
    if (found !== null) return found;
    const lock = await cache.lock(resolved.digest);
    if (lock !== null) return await findOrFill(cache, resolved, { lock, how }, options);
    if (!waited) options.onEvent({ kind: 'waiting', digest: resolved.digest });
    waited = true;
    await sleep(POLL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

/** Looks once more, as the lock's last holder may have published since the last look; then brings it. */
async function findOrFill(
  cache: ModelCache,
  resolved: ResolvedModel,
  { lock, how }: { readonly lock: FillLock; readonly how: 'cached' | 'waited' },
  options: ObtainOptions,
): Promise<ObtainedModel> {
  try {
    const found = await fromCache(cache, resolved.digest, how, options, lock);
    if (found === null) return await fill(cache, resolved, lock, options);
    await lock.release();
    return found;
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/**
 * Null where it is not there, or damaged. What is damaged is taken away by the lock's holder alone: when a look at it ends,
 * another process may have brought it anew.
 */
async function fromCache(
  cache: ModelCache,
  digest: string,
  how: 'cached' | 'waited',
  { transfer, signal, onEvent }: ObtainOptions,
  lock: FillLock | null = null,
): Promise<ObtainedModel | null> {
  const release = await cache.use(digest);
  try {
    const found = await cache.find(digest);
    if (found === null) {
      await release();
      return null;
    }
    let damage = 'damage' in found ? found.damage : null;
    if (!('damage' in found) && !found.durable) {
      damage = (await verifyFiles(found.dir, found.manifest, { threads: transfer.threads, signal })).at(0) ?? null;
      if (damage === null) await cache.sync(found).catch(() => {});
    }
    if (damage === null) return standing(found as CachedModel, how, release);
    if (lock !== null) {
      onEvent({ kind: 'damaged', digest, damage });
      await cache.remove(digest);
    }
    await release();
    return null;
  } catch (error) {
    await release();
    throw error;
  }
}

function standing(found: CachedModel, how: 'cached' | 'waited', release: () => Promise<void>): ObtainedModel {
  return {
    ...{ digest: found.digest, dir: found.dir, how, arriving: null, bytes: found.bytes },
    digests: digestsOf(found.manifest.files),
    fetchedBytes: () => 0,
    fetched: Promise.resolve(),
    verified: Promise.resolve(),
    finish: release,
    abandon: release,
  };
}

async function fill(
  cache: ModelCache,
  resolved: ResolvedModel,
  lock: FillLock,
  { transfer, signal, onEvent }: ObtainOptions,
): Promise<ObtainedModel> {
  const { digest, files, partBytes, address } = resolved;
  const bytes = totalBytes(files);
  const stop = new AbortController();
  const opened: PartPool[] = [];
  const release = await cache.use(digest);
  const end = async () => {
    stop.abort(new Error('given up'));
    await Promise.all(opened.map((pool) => pool.close()));
    await lock.release();
    await release();
  };
  try {
    for (const removed of await cache.makeRoom(digest, bytes)) onEvent({ kind: 'removed', digest: removed });
    const dir = cache.partialOf(digest);
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const from = address.kind === 'store' ? address.url : `hf://${address.repo}@${address.commit}`;
    onEvent({ kind: 'pulling', digest, from, bytes });
    const threads = transfer.threads ?? threadsFor(bytes);
    const pool = await openPool(address, threads);
    opened.push(pool);
    // Reading behind the bringers is one thread's work for as long as they take.
    const digests = threads === 0 ? pool : await openPool(null, 1);
    if (digests !== pool) opened.push(digests);
    let fetchedBytes = 0;
    const bringing = bring({
      ...{ files, partBytes, dir, pool, digests, inFlight: transfer.inFlight },
      signal: AbortSignal.any([signal, stop.signal, lock.lost]),
      onProgress: (progress) => {
        fetchedBytes = progress.fetched;
        onEvent({ kind: 'progress', ...progress });
      },
    });
    const byParts = files.every(({ parts }) => parts !== null);
    if (byParts) {
      const small = files.filter(({ name }) => !isWeights(name));
      await Promise.all(small.map((file) => bringing.arrivals.until(file.name, 0, file.bytes)));
    } else {
      await bringing.verified;
    }
    const { name, fingerprint, source } = resolved;
    const verified = bringing.verified.then(() => {});
    // Whoever does not ask learns of a failure from `finish`.
    verified.catch(() => {});
    return {
      ...{ digest, dir, bytes, how: 'pulled', digests: digestsOf(files), fetchedBytes: () => fetchedBytes },
      arriving: byParts ? { arrivals: bringing.arrivals, partBytes } : null,
      fetched: bringing.fetched,
      verified,
      finish: async () => {
        try {
          const createdAt = new Date().toISOString();
          const manifest: ModelManifest = {
            ...{ v: 1, name, partBytes, files: [...(await bringing.verified)], fingerprint, source, createdAt },
          };
          await cache.publish(digest, manifest);
          if (source.kind === 'hub') {
            const { repo, commit } = source;
            await cache.remember(referenceText({ kind: 'hub', repo, revision: commit }), digest);
          }
          cache.sync({ digest, manifest }).catch((error) => {
            onEvent({ kind: 'unsynced', digest, reason: describeError(error) });
          });
        } finally {
          await end();
        }
      },
      abandon: end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

function digestsOf(files: readonly { readonly name: string; readonly sha256: string }[]): ReadonlyMap<string, string> {
  return new Map(files.map(({ name, sha256 }) => [name, sha256]));
}

/** The whole model, there and verified. */
export async function obtainWhole(
  reference: RemoteReference,
  options: ObtainOptions,
): Promise<ObtainedModel & { readonly path: string }> {
  const obtained = await obtainModel(reference, options);
  await obtained.finish();
  return { ...obtained, path: (await ModelCache.open(options.transfer.cache)).pathOf(obtained.digest) };
}
