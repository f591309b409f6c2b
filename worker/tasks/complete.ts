import type { JobResult } from '@longhaul/core/contracts';
import type { Completion } from '@longhaul/core/ledger';
import { inSpan, spanName } from '@longhaul/core/telemetry';
import type { JobContext } from './context.ts';

/** Writes the result, which ends the job. */
export async function completeJob({ lease }: JobContext, completion: Completion): Promise<JobResult> {
  return await inSpan(spanName.result, {}, () => lease.complete(completion));
}
