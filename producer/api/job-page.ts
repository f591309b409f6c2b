import { errorCode, type JobId } from '@longhaul/core/contracts';
import { listOwned } from '@longhaul/core/ledger';
import type { JobView } from '../view.ts';
import type { ApiParts } from './parts.ts';

export interface JobPageOptions {
  readonly limit: number;
  readonly after: JobId | null;
  readonly wanted: (job: JobView) => boolean;
}

export interface JobPage {
  readonly data: JobView[];
  readonly has_more: boolean;
  /** Where the next page begins; the job itself may not be among those of this one. */
  readonly last_id: JobId | null;
}

/** Jobs that one page looks at, however few of them are wanted. */
const mostLookedAt = 1000;
const atOnce = 8;

/** Newest first. Jobs whose objects are damaged, or that are deleted meanwhile, are left out. */
export async function jobPage(
  { producer, store }: Pick<ApiParts, 'producer' | 'store'>,
  tenant: string,
  { limit, after, wanted }: JobPageOptions,
): Promise<JobPage> {
  const data: JobView[] = [];
  let [last_id, looked] = [after, 0];
  let some: JobId[] = [];
  const look = async (): Promise<boolean> => {
    const seen = await Promise.allSettled(some.map((jobId) => producer.status(jobId)));
    const ids = some;
    some = [];
    for (const [i, one] of seen.entries()) {
      if (one.status === 'rejected' && !['job_not_found', 'object_corrupt'].includes(errorCode(one.reason))) {
        throw one.reason;
      }
      const job = one.status === 'fulfilled' && wanted(one.value) ? one.value : null;
      if (job !== null && data.length === limit) return true;
      last_id = ids[i]!;
      looked += 1;
      if (job !== null) data.push(job);
    }
    return looked >= mostLookedAt;
  };
  for await (const jobId of listOwned(store, tenant, { after })) {
    some.push(jobId);
    if (some.length === atOnce && (await look())) return { data, has_more: true, last_id };
  }
  return { data, has_more: await look(), last_id };
}
