import type { Head, JobResult, JobSpec, JobStatus, Progress, Task } from '@longhaul/core/contracts';
import { committedProgress, estimate } from './eta.ts';

/** Where a job stands, for people: the ledger's word, and what the worker shows of the work since the last commit. */
export interface JobView {
  readonly jobId: string;
  readonly tenant: string;
  readonly model: string;
  readonly task: Task['kind'];
  readonly status: JobStatus;
  readonly cancelRequested: boolean;
  readonly createdAt: string;
  /** When it ends as expired if it has not ended before; null for never. */
  readonly expiresAt: string | null;
  readonly updatedAt: string;
  readonly phase: 'read' | 'generate' | null;
  readonly worker: string | null;
  readonly attempts: number;
  readonly commits: number;
  /** Tokens fed, committed or not. */
  readonly tokens: number;
  readonly committedTokens: number;
  /** Tokens of the whole input, null until its end was seen. */
  readonly inputTokens: number | null;
  readonly bytes: number;
  readonly totalBytes: number | null;
  readonly outputCount: number;
  readonly recomputedTokens: number;
  /** Null unless a worker is running the job and was heard of lately. */
  readonly tokensPerSecond: number | null;
  readonly fraction: number | null;
  readonly etaSeconds: number | null;
  /** Seconds since the head was last written, null before the first commit. */
  readonly lastCommitSeconds: number | null;
  readonly finishReason: JobResult['finishReason'] | null;
  readonly failure: { readonly code: string; readonly message: string } | null;
}

/** A worker posts several times a second; beyond this age its figures say nothing about now. */
export const staleProgressMs = 30_000;

export interface JobParts {
  readonly spec: JobSpec;
  readonly head: Head | null;
  readonly result: JobResult | null;
  readonly progress: Progress | null;
  readonly cancelRequested: boolean;
}

export function jobView({ spec, head, result, progress, cancelRequested }: JobParts, now: Date): JobView {
  const status = result === null ? (head?.status ?? 'queued') : statusOfResult[result.status];
  const live = status === 'running' && progress !== null && progress.epoch === head?.epoch ? progress : null;
  const fresh = live !== null && now.getTime() - Date.parse(live.updatedAt) <= staleProgressMs ? live : null;
  const known = live ?? (head === null ? null : committedProgress(head));
  const forecast = fresh === null ? null : estimate(fresh, spec);
  const failure = result?.failure ?? head?.failure ?? null;
  return {
    jobId: spec.jobId,
    tenant: spec.tenant,
    model: spec.model,
    task: spec.task.kind,
    status,
    cancelRequested,
    createdAt: spec.createdAt,
    expiresAt: spec.expiresAt,
    updatedAt: head?.updatedAt ?? spec.createdAt,
    phase: status === 'running' ? (known?.phase ?? null) : null,
    worker: status === 'running' ? (head?.owner ?? null) : null,
    attempts: head?.stats.attempts ?? 0,
    commits: head?.stats.commits ?? 0,
    tokens: Math.max(known?.tokens ?? 0, head?.position.tokenOffset ?? 0),
    committedTokens: head?.position.tokenOffset ?? 0,
    inputTokens: result?.usage.inputTokens ?? head?.position.inputTokens ?? null,
    bytes: known?.bytes ?? 0,
    totalBytes: known?.totalBytes ?? null,
    outputCount: Math.max(fresh?.outputTokens ?? 0, head?.position.outputCount ?? 0),
    recomputedTokens: head?.stats.recomputedTokens ?? 0,
    tokensPerSecond: fresh?.tokensPerSecond ?? null,
    fraction: forecast?.fraction ?? null,
    etaSeconds: forecast?.etaSeconds ?? null,
    lastCommitSeconds:
      head === null || head.seq === 0 ? null : Math.max(0, (now.getTime() - Date.parse(head.updatedAt)) / 1000),
    finishReason: result?.finishReason ?? null,
    failure: failure === null ? null : { code: failure.code, message: failure.message },
  };
}

/** A job's status, by its result. */
export const statusOfResult = {
  succeeded: 'done',
  cancelled: 'cancelled',
  failed: 'quarantined',
  expired: 'expired',
} as const;
