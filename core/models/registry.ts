import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { LonghaulError, RejectedJob, RetryableFailure } from '../contracts/errors.ts';
import { ModelName } from '../contracts/job.ts';
import { jsonBytes, readJson } from '../ledger/json-object.ts';
import { type ObjectStore, PreconditionFailed } from '../ledger/object-store.ts';
import { keys } from './keys.ts';
import { ModelManifest, modelLimits, Sha256, versionDigest } from './manifest.ts';

const pointerBytes = 8 * 1024;

/** Lost races for `current.json` before a push gives up. */
const ATTEMPTS = 16;

const Pointer = z.strictObject({
  v: z.literal(1),
  name: ModelName,
  digest: Sha256,
  /** The version before it, for people who want to go back. */
  previous: Sha256.nullable(),
  at: z.iso.datetime(),
  /** Two pointers are never the same bytes: an ETag then means one of them. */
  nonce: z.uuid(),
});

export interface PublishedModel {
  readonly digest: string;
  readonly manifest: ModelManifest;
}

/** The version that the prefix means now. @throws LonghaulError `model_not_found` where nothing was pushed there */
export async function currentVersion(store: ObjectStore): Promise<string> {
  const found = await readJson(store, keys.current, Pointer, pointerBytes);
  if (found !== null) return found.value.digest;
  throw new LonghaulError('model_not_found', `no model was pushed to ${store.url}: it has no ${keys.current}`);
}

/**
 * A version's manifest: checked against its schema, and its files against the digest that names it.
 * @throws LonghaulError `model_not_found`; RejectedJob `object_corrupt`, `model_corrupt`
 */
export async function readManifest(store: ObjectStore, digest: string): Promise<ModelManifest> {
  const key = keys.manifest(digest);
  const found = await readJson(store, key, ModelManifest, modelLimits.manifestBytes);
  if (found === null) throw new LonghaulError('model_not_found', `${store.url} has no version ${digest}: no ${key}`);
  const own = versionDigest(found.value.files);
  if (own === digest) return found.value;
  throw new RejectedJob('model_corrupt', `${key} in ${store.url} lists files of digest ${own}; expected ${digest}`);
}

/** Writes the manifest, as the last object of its version. Another push of the same files may have: theirs stands. */
export async function writeManifest(store: ObjectStore, manifest: ModelManifest): Promise<PublishedModel> {
  const digest = versionDigest(manifest.files);
  const key = keys.manifest(digest);
  try {
    await store.putIfAbsent(key, jsonBytes(key, ModelManifest.parse(manifest), modelLimits.manifestBytes));
    return { digest, manifest };
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
  }
  return { digest, manifest: await readManifest(store, digest) };
}

/** Points the prefix at a version; whoever was pointed at last wins. False where it pointed there already. */
export async function pointTo(store: ObjectStore, name: string, digest: string, now: Date): Promise<boolean> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const standing = await readJson(store, keys.current, Pointer, pointerBytes);
    if (standing?.value.digest === digest) return false;
    const pointer = {
      v: 1 as const,
      ...{ name, digest, previous: standing?.value.digest ?? null },
      ...{ at: now.toISOString(), nonce: randomUUID() },
    };
    const body = jsonBytes(keys.current, pointer, pointerBytes);
    try {
      if (standing === null) await store.putIfAbsent(keys.current, body);
      else await store.putIfMatch(keys.current, body, standing.etag);
      return true;
    } catch (error) {
      if (!(error instanceof PreconditionFailed)) throw error;
    }
  }
  const text = `${keys.current} in ${store.url}: another push came first at each of ${ATTEMPTS} attempts`;
  throw new RetryableFailure('store_unavailable', text);
}

/** Versions below the prefix, in no order of time; a version whose push did not end has no manifest and is not listed. */
export async function* listVersions(store: ObjectStore): AsyncGenerator<string> {
  for await (const { key } of store.list(keys.versions)) {
    const digest = key.slice(keys.versions.length).split('/')[0] ?? '';
    if (key === keys.manifest(digest) && Sha256.safeParse(digest).success) yield digest;
  }
}
