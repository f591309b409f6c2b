import { RejectedJob } from '../contracts/errors.ts';
import { type JobId, JobSpec } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import type { LedgerParts } from './head-object.ts';
import { readJson } from './json-object.ts';
import { keys } from './keys.ts';
import { type ObjectStore, PreconditionFailed } from './object-store.ts';

/*
 * `tenants/{tenant}/jobs/{order}.{job}`: the jobs of a tenant, newest first, so that listing them walks nobody else's.
 *
 *   submit    spec ─▶ owned marker ─▶ open marker ─▶ head      (whoever makes a missing head marks first, too)
 *   deletion  … ─▶ owned marker deleted ─▶ spec deleted ─▶ head deleted
 *
 * A job that has a head is found. A marker whose job is gone is what a crash left, and names nothing.
 */

/** Before the year 2286 milliseconds have 13 digits. */
const end = 9_999_999_999_999;

function keyOf({ tenant, createdAt, jobId }: Pick<JobSpec, 'tenant' | 'createdAt' | 'jobId'>): string {
  const order = String(Math.max(0, end - Date.parse(createdAt))).padStart(13, '0');
  return keys.ownedJob(tenant, order, jobId);
}

export async function markOwned({ store }: LedgerParts, spec: JobSpec): Promise<void> {
  try {
    await store.putIfAbsent(keyOf(spec), new Uint8Array(0));
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
  }
}

/** Of a job whose spec is still there, and says whose it is. */
export async function unmarkOwned({ store }: LedgerParts, jobId: JobId): Promise<void> {
  const spec = await readSpec(store, jobId);
  if (spec !== null) await store.delete(keyOf(spec));
}

export interface OwnedListing {
  /** Those behind this job of the tenant; null: from the newest on. */
  readonly after: JobId | null;
}

/** Ids of the tenant's jobs, newest first. Those of versions that kept no such list are not on it. */
export async function* listOwned(
  store: ObjectStore,
  tenant: string,
  { after }: OwnedListing,
): AsyncGenerator<JobId, void> {
  const last = after === null ? null : await readSpec(store, after);
  if (after !== null && last?.tenant !== tenant) {
    throw new RejectedJob('job_not_found', `tenant ${tenant} has no job ${after} to go on behind`);
  }
  const from = last === null ? {} : { startAfter: keyOf(last) };
  for await (const { key } of store.list(keys.owned(tenant), from)) {
    const jobId = /\.([A-Za-z][A-Za-z0-9_-]*)$/.exec(key)?.[1];
    if (jobId !== undefined) yield jobId;
  }
}

/** Null also for one that is damaged. */
async function readSpec(store: ObjectStore, jobId: JobId): Promise<JobSpec | null> {
  try {
    return (await readJson(store, keys.spec(jobId), JobSpec, limits.specBytes))?.value ?? null;
  } catch (error) {
    if (error instanceof RejectedJob && error.code === 'object_corrupt') return null;
    throw error;
  }
}
