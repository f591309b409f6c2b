import type { JobId } from '../contracts/job.ts';
import { keys } from './keys.ts';
import type { ObjectStore } from './object-store.ts';

/**
 * What a tenant's requests leave beside their jobs: the place of a job on the tenant's list, what a completion asked for,
 * and the digest of the body that an idempotency key stands for.
 */
export const tenantKeys = {
  all: 'tenants/',
  /** `id`: `cmpl-X` or `chatcmpl-X`, whose first job is `jX`. */
  completion: (tenant: string, id: string) => `tenants/${tenant}/completions/${id}.json`,
  body: (tenant: string, job: JobId) => `tenants/${tenant}/bodies/${job}`,
} as const;

/** The job that a record stands and falls with; null for any other key. */
export function jobOfRecord(key: string): JobId | null {
  const found =
    /^tenants\/[^/]+\/(?:completions\/(?:chat)?cmpl-([0-9a-z]+)\.json|bodies\/([A-Za-z0-9_-]+)|jobs\/\d+\.([A-Za-z0-9_-]+))$/.exec(
      key,
    );
  if (found === null) return null;
  return found[1] === undefined ? (found[2] ?? found[3] ?? null) : `j${found[1]}`;
}

/**
 * Deletes records whose job is gone, or that a crash left without one: the words of a request are kept as long as its job.
 * A record is put before its job, so one that is younger than `before` stays. Returns how many went.
 */
export async function sweepTenantRecords(store: ObjectStore, before: Date, signal?: AbortSignal): Promise<number> {
  let gone = 0;
  for await (const { key, modifiedAt } of store.list(tenantKeys.all, signal === undefined ? {} : { signal })) {
    signal?.throwIfAborted();
    const jobId = jobOfRecord(key);
    if (jobId === null || modifiedAt.getTime() >= before.getTime()) continue;
    if ((await store.head(keys.head(jobId))) !== null) continue;
    await store.delete(key);
    gone += 1;
  }
  return gone;
}
