import type { JobId } from '../contracts/job.ts';

/**
 * The doorbell. A message is a job id and nothing else: what is to be done stands in the ledger, and losing the queue
 * loses no work. One queue a served model.
 */
export interface JobQueue {
  /** Idempotent by job id while the job is waiting or running. */
  enqueue(jobId: JobId, options: { readonly priority: number }): Promise<void>;
  counts(): Promise<QueueCounts>;
  /** Takes a waiting job out; false where it is not waiting (running, or unknown). */
  remove(jobId: JobId): Promise<boolean>;
  close(): Promise<void>;
}

export interface QueueCounts {
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  readonly failed: number;
}

/** The taking side. `run` is called for each job, up to `concurrency` at once; what it resolves to settles the job. */
export interface JobConsumer {
  /** Starts taking. Resolves once connected; waits, saying so, while Redis is out of reach. */
  start(): Promise<void>;
  /** Takes no new job from now on; jobs in hand go on and their locks are still extended. */
  pause(): Promise<void>;
  /** Resolves when no job is in hand and every connection is closed. */
  close(): Promise<void>;
}

export interface TakenJob {
  readonly jobId: JobId;
  /**
   * Aborts with `Abandoned('lease_lost')` when our own lease clock says that the lock may be gone: no proof of it within
   * the lock's duration less a margin. The handler must stop emitting at once.
   */
  readonly signal: AbortSignal;
}

/**
 *   done        acknowledged; also where the ledger says that the job had ended already
 *   hand-back   to the front of the line, no attempt counted (drain)
 *   retry       to the line after `delayMs`
 *   quarantine  failed for good, with the reason
 *   abandon     somebody else owns it: nothing is said to the queue
 */
export type Settlement =
  | { readonly kind: 'done' }
  | { readonly kind: 'hand-back' }
  | { readonly kind: 'retry'; readonly delayMs: number; readonly reason: string }
  | { readonly kind: 'quarantine'; readonly reason: string }
  | { readonly kind: 'abandon' };

export type JobHandler = (job: TakenJob) => Promise<Settlement>;
