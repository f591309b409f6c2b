import type { JobId } from '../contracts/job.ts';

/**
 * The doorbell. A message is a job id and nothing else: what is to be done stands in the ledger, and losing the queue
 * loses no work. One queue a served model.
 */
export interface JobQueue {
  /** Idempotent by job id while the job is waiting or running. */
  enqueue(jobId: JobId, ring: Ring): Promise<void>;
  counts(): Promise<QueueCounts>;
  /** Takes a waiting job out; false where it is not waiting (running, or unknown). */
  remove(jobId: JobId): Promise<boolean>;
  close(): Promise<void>;
}

/** What decides when a job leaves the line. */
export interface Ring {
  /** Higher goes earlier, among the jobs of its tenant. */
  readonly priority: number;
  /** Tenants share the workers by the seconds of their jobs. */
  readonly tenant: string;
  /** Estimated seconds of work (see `work-seconds.ts`); set right when the job ends. */
  readonly seconds: number;
}

export interface QueueCounts {
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  readonly failed: number;
}

/** What whoever reconciles the queue with the ledger sees of it. Every call looks at a bounded part. */
export interface QueueCensus {
  /** Where each of the jobs is, in their order: a moment's answer, jobs move on. */
  whereabouts(jobIds: readonly JobId[]): Promise<readonly Whereabouts[]>;
  /** The jobs that wait, a page at a time. Jobs that move meanwhile may be left out or come twice. */
  waiting(): AsyncIterable<readonly JobId[]>;
  demand(): Promise<QueueDemand>;
}

/**
 *   waiting   in the line, or in it after a delay
 *   held      a worker has it, under a lock that has not run out
 *   orphaned  a worker had it, and its lock is gone
 *   absent    the queue does not know it, or has put it away as done
 */
export type Whereabouts = 'waiting' | 'held' | 'orphaned' | 'absent';

/** Jobs of one queue, by what they ask of workers. */
export interface QueueDemand {
  /** In the line without a priority: jobs that came back from a lost worker or were handed back. */
  readonly waiting: number;
  readonly prioritized: number;
  /** In the line again within a minute. */
  readonly delayedDue: number;
  /** In the line again later. */
  readonly delayedLater: number;
  readonly held: number;
  readonly orphaned: number;
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
  /** `seconds`: of work that the job took, by the measure of `Ring`; null where this attempt did none of it. */
  | { readonly kind: 'done'; readonly seconds: number | null }
  | { readonly kind: 'hand-back' }
  | { readonly kind: 'retry'; readonly delayMs: number; readonly reason: string }
  | { readonly kind: 'quarantine'; readonly reason: string }
  | { readonly kind: 'abandon' };

export type JobHandler = (job: TakenJob) => Promise<Settlement>;
