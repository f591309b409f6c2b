import type { JobId, JobResult } from '@longhaul/core/contracts';
import { responseOf } from '@longhaul/core/openai';
import { ApiError, statusOf } from '../errors.ts';
import type { ApiParts } from '../parts.ts';
import type { Completion } from './accept.ts';

/** The whole response, once every choice is made. @throws ApiError where a job did not succeed */
export async function waitFor(parts: ApiParts, completion: Completion, signal: AbortSignal): Promise<object> {
  const { record, plan, jobIds } = completion;
  const results = await Promise.all(jobIds.map((jobId) => resultOf(parts, jobId, signal)));
  await parts.limits.closeJobs(record.tenant, jobIds);
  const made = results.map((result) => {
    checkSucceeded(result);
    return { result, records: () => parts.producer.records(result.jobId) };
  });
  const { id, tenant, createdAt } = record;
  return responseOf(plan, made, { id, tenant, createdAt: new Date(createdAt) });
}

async function resultOf({ producer }: ApiParts, jobId: JobId, signal: AbortSignal): Promise<JobResult> {
  for await (const event of producer.follow(jobId, { signal })) if (event.kind === 'result') return event.result;
  throw new TypeError(`following ${jobId} ended without a result`);
}

/** @throws ApiError with the reason that the job ended for */
export function checkSucceeded({ jobId, status, failure }: Pick<JobResult, 'jobId' | 'status' | 'failure'>): void {
  switch (status) {
    case 'succeeded':
      return;
    case 'cancelled':
      throw new ApiError(409, `${jobId} was cancelled`, { code: 'cancelled' });
    case 'expired':
      throw new ApiError(409, `${jobId} did not end before its deadline`, { code: 'expired' });
    case 'failed': {
      const code = failure?.code ?? 'internal';
      throw new ApiError(statusOf(code), `${jobId} failed: ${failure?.message ?? 'no reason is known'}`, { code });
    }
  }
}
