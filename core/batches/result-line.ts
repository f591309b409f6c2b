import type { OutputRecord } from '../contracts/output.ts';
import type { JobResult } from '../contracts/result.ts';
import { type Plan, responseOf } from '../openai/index.ts';
import type { BatchSpec } from './batch.ts';
import type { BatchStream } from './keys.ts';

/** One line of an output, and which one. */
export interface ResultLine {
  readonly stream: BatchStream;
  readonly text: string;
  readonly usage: JobResult['usage'] | null;
  readonly busySeconds: number;
}

/** What a line that was run came to. Only a success has a response; how a job failed is told as an error. */
export async function resultLine(
  spec: BatchSpec,
  customId: string,
  plan: Plan,
  result: JobResult,
  records: () => AsyncIterable<OutputRecord>,
): Promise<ResultLine> {
  const { jobId, usage, status, failure } = result;
  const { busySeconds } = result.stats;
  if (status !== 'succeeded') {
    const reason = failure ?? {
      code: status === 'cancelled' ? 'cancelled' : 'internal',
      message: `the job was ${status}`,
    };
    return { ...errorLine(customId, jobId, reason), usage, busySeconds };
  }
  const kind = plan.object === 'chat.completion' ? 'chatcmpl' : 'cmpl';
  const parts = { id: `${kind}-${jobId}`, createdAt: new Date(result.finishedAt), tenant: spec.tenant };
  const body = await responseOf(plan, [{ result, records }], parts);
  const line = {
    id: `batch_req_${jobId}`,
    custom_id: customId,
    response: { status_code: 200, request_id: jobId, body },
    error: null,
  };
  return { stream: 'output', text: `${JSON.stringify(line)}\n`, usage, busySeconds };
}

/** A line that has no response. */
export function errorLine(
  customId: string | null,
  jobId: string,
  { code, message }: { readonly code: string; readonly message: string },
): ResultLine {
  const line = { id: `batch_req_${jobId}`, custom_id: customId, response: null, error: { code, message } };
  return { stream: 'errors', text: `${JSON.stringify(line)}\n`, usage: null, busySeconds: 0 };
}
