import type { BatchHead, BatchLineError, BatchSpec } from './batch.ts';

const seconds = (moment: string | null) => (moment === null ? null : Math.floor(Date.parse(moment) / 1000));

/** A batch as the OpenAI API tells it, and behind `longhaul` what that has no words for. Moments are seconds. */
export interface BatchObject {
  readonly id: string;
  readonly object: 'batch';
  readonly endpoint: string;
  readonly errors: { readonly object: 'list'; readonly data: readonly BatchLineError[] } | null;
  readonly input_file_id: string;
  readonly completion_window: string;
  readonly status: string;
  readonly output_file_id: string | null;
  readonly error_file_id: string | null;
  readonly created_at: number;
  readonly in_progress_at: number | null;
  readonly expires_at: number | null;
  readonly finalizing_at: number | null;
  readonly completed_at: number | null;
  readonly failed_at: number | null;
  readonly expired_at: number | null;
  readonly cancelling_at: number | null;
  readonly cancelled_at: number | null;
  readonly request_counts: { readonly total: number; readonly completed: number; readonly failed: number };
  readonly usage: {
    readonly input_tokens: number;
    readonly input_tokens_details: { readonly cached_tokens: number };
    readonly output_tokens: number;
    readonly output_tokens_details: { readonly reasoning_tokens: number };
    readonly total_tokens: number;
  };
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly longhaul: {
    readonly order: string;
    readonly priority: number;
    readonly generation: number;
    /** All complaints about lines; `errors` has the first ones. */
    readonly line_errors: number;
    readonly pause_reason: string | null;
    readonly worker_seconds: number;
    /** Null where no price is known. */
    readonly cost: { readonly dollars: number; readonly max_dollars: number; readonly dollars_per_hour: number } | null;
    readonly trouble: BatchHead['trouble'];
  };
}

export function batchObject(spec: BatchSpec, head: BatchHead): BatchObject {
  const { inputTokens, cachedTokens, outputTokens } = head.usage;
  const input = inputTokens + cachedTokens;
  return {
    id: spec.id,
    object: 'batch',
    endpoint: spec.endpoint ?? 'mixed',
    errors: head.lineErrorCount === 0 ? null : { object: 'list', data: head.lineErrors },
    input_file_id: spec.inputFileId,
    completion_window: spec.completionWindow,
    status: head.status,
    output_file_id: head.outputFileId,
    error_file_id: head.errorFileId,
    created_at: seconds(spec.createdAt) ?? 0,
    in_progress_at: seconds(head.inProgressAt),
    expires_at: seconds(head.expiresAt),
    finalizing_at: seconds(head.finalizingAt),
    completed_at: seconds(head.completedAt),
    failed_at: seconds(head.failedAt),
    expired_at: seconds(head.expiredAt),
    cancelling_at: seconds(head.cancellingAt),
    cancelled_at: seconds(head.cancelledAt),
    request_counts: {
      total: head.total ?? 0,
      completed: head.ended?.completed ?? head.output.lines,
      failed: head.ended?.failed ?? head.errors.lines,
    },
    usage: {
      input_tokens: input,
      input_tokens_details: { cached_tokens: cachedTokens },
      output_tokens: outputTokens,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: input + outputTokens,
    },
    metadata: spec.metadata,
    longhaul: {
      order: spec.order,
      priority: spec.priority,
      generation: head.generation,
      line_errors: head.lineErrorCount,
      pause_reason: head.pauseReason,
      worker_seconds: head.busySeconds,
      cost: costOf(head),
      trouble: head.trouble,
    },
  };
}

function costOf(head: BatchHead): BatchObject['longhaul']['cost'] {
  if (head.maxCost === null) return null;
  const { dollars, dollarsPerHour } = head.maxCost;
  return { dollars: spentDollars(head), max_dollars: dollars, dollars_per_hour: dollarsPerHour };
}

/** What the recorded lines have cost at the price of the limit; 0 where there is no limit. */
export function spentDollars({ busySeconds, maxCost }: Pick<BatchHead, 'busySeconds' | 'maxCost'>): number {
  return maxCost === null ? 0 : (busySeconds / 3600) * maxCost.dollarsPerHour;
}
