import type { JobId, JobStatus, StateRef, Timeline } from '@longhaul/core/contracts';
import type { Ledger } from '@longhaul/core/ledger';

/** What happened to a job, from its submission to now or to its end. */
export interface JobTimeline {
  readonly jobId: JobId;
  readonly status: JobStatus;
  readonly createdAt: string;
  /** The clock of whoever answers: marks are by the clocks of workers. */
  readonly now: string;
  readonly expiresAt: string | null;
  /** The state that the job goes on from, as it was asked for, and the name that its own is saved under. */
  readonly from: StateRef | null;
  readonly saveAs: string | null;
  /** Commits in all: where there are many, not each of them has a mark. */
  readonly commits: number;
  /** Oldest first; empty for a job of an earlier version. */
  readonly marks: Timeline;
}

/** @throws LonghaulError `job_not_found` */
export async function jobTimeline(ledger: Ledger, jobId: JobId, now: Date): Promise<JobTimeline> {
  const spec = await ledger.readSpec(jobId);
  const head = await ledger.readHead(jobId);
  return {
    jobId,
    status: head?.status ?? 'queued',
    createdAt: spec.createdAt,
    now: now.toISOString(),
    expiresAt: head?.expiresAt ?? spec.expiresAt,
    from: spec.from,
    saveAs: spec.saveAs ?? (spec.task.kind === 'append' ? (spec.from?.name ?? null) : null),
    commits: head?.stats.commits ?? 0,
    marks: head?.timeline ?? [],
  };
}
