import { errorCode, type JobSpec } from '@longhaul/core/contracts';
import type { Ledger } from '@longhaul/core/ledger';
import { ApiError } from './errors.ts';
import { shown } from './validation.ts';

/**
 * The spec of a job of the tenant. Another tenant's job answers as one that does not exist: nobody learns of it.
 * @throws ApiError 404
 */
export async function ownJob(ledger: Ledger, tenant: string, jobId: string): Promise<JobSpec> {
  try {
    const spec = await ledger.readSpec(jobId);
    if (spec.tenant === tenant) return spec;
  } catch (error) {
    if (errorCode(error) !== 'job_not_found') throw error;
  }
  throw new ApiError(404, `there is no job ${shown(jobId)}`, { param: 'id', code: 'job_not_found' });
}
