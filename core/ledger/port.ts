import type { CheckpointRef, Failure, Head, Pins, Position, ScoreTotals } from '../contracts/head.ts';
import type { JobId, JobSpec } from '../contracts/job.ts';
import type { OutputRecord } from '../contracts/output.ts';
import type { FinishReason, JobResult, ScoreSummary, Usage } from '../contracts/result.ts';
import type { DocumentSource } from '../contracts/source.ts';

/**
 * The durable truth of every job.
 *
 *   spec.json ── acquire ──▶ head epoch+1 ── commit ──▶ head seq+1 … ── complete ──▶ result.json ──▶ head 'done'
 *
 * A commit writes checkpoint and output segment first (immutable, put-if-absent), then swaps the head: that swap is
 * the commit point. A worker whose epoch is no longer the head's gets `Abandoned('fenced')` from every call.
 */
export interface Ledger {
  readonly url: string;

  /** Durable before it returns. Submitting the same spec again is `existing`; another spec under the id is `job_exists`. */
  submit(spec: JobSpec): Promise<'created' | 'existing'>;

  /** Streams a document into the store under a random key below `inputs/`; returns where it is and its size. */
  putInput(body: AsyncIterable<Uint8Array>): Promise<{ readonly source: DocumentSource; readonly bytes: number }>;

  readSpec(jobId: JobId): Promise<JobSpec>; // job_not_found
  /** Made here where the submitter died before it was. Null: no such job. */
  readHead(jobId: JobId): Promise<Head | null>;
  readResult(jobId: JobId): Promise<JobResult | null>;
  /** Newest first. */
  listJobs(options: { readonly limit: number }): Promise<readonly JobId[]>;

  /** Takes ownership: epoch+1. A job that has ended, or now ends (stuck, cancelled before it ran), is `settled`. */
  acquire(jobId: JobId, owner: string): Promise<Acquired>;

  /** Verified against its digest before a byte is used: `checkpoint_corrupt`. */
  loadCheckpoint(jobId: JobId, ref: CheckpointRef): Promise<StateTensors>;

  /** Committed output records from the `skip`-th on (0 = all), verified; ends at the head's committed end. */
  readOutput(jobId: JobId, options: { readonly skip: number }): AsyncIterable<OutputRecord>;

  /** Leaves a mark that the owner sees within a second and every later acquire sees at once. */
  requestCancel(jobId: JobId): Promise<void>;
  cancelRequested(jobId: JobId): Promise<boolean>;

  close(): Promise<void>;
}

export type Acquired =
  | { readonly kind: 'lease'; readonly lease: Lease; readonly spec: JobSpec }
  | { readonly kind: 'settled'; readonly head: Head };

/** One session's recurrent state, as the engine gives it. float32, little-endian. */
export interface StateTensors {
  /** [n_layer, d_inner, d_conv - 1], oldest column first. */
  readonly conv: Float32Array;
  /** [n_layer, d_inner, d_state]. */
  readonly ssm: Float32Array;
  readonly shape: { readonly nLayer: number; readonly dInner: number; readonly dConv: number; readonly dState: number };
  readonly tokenOffset: number;
  readonly modelDigest: string;
  readonly tokenizerDigest: string;
}

export interface Commit {
  readonly pins: Pins;
  readonly position: Position;
  /** Null only where the state has not moved since the head's checkpoint. */
  readonly state: StateTensors | null;
  /** Output records since the last commit, in order; may be empty. */
  readonly records: readonly OutputRecord[];
  readonly score: ScoreTotals | null;
  /** Added to the head's running figures. */
  readonly recomputedTokens: number;
  readonly busySeconds: number;
}

export interface Completion {
  readonly finishReason: FinishReason;
  readonly usage: Usage;
  readonly text: string | null;
  readonly score: ScoreSummary | null;
}

/** Ownership of one job under one epoch. Calls must not overlap: the worker awaits one before the next. */
export interface Lease {
  readonly jobId: JobId;
  readonly epoch: number;
  /** The head as this lease last wrote or read it. */
  readonly head: Head;
  /** After a RetryableFailure it may have happened: the same commit may be tried again, no other one. */
  commit(commit: Commit): Promise<Head>;
  /** After the last commit: result.json, then head 'done'. Returns what is stored, also where a former self stored it. */
  complete(completion: Completion): Promise<JobResult>;
  /** Ends the job as cancelled; committed output and checkpoint stay readable. */
  cancel(): Promise<JobResult>;
  /** Ends the job with a reason; committed output and checkpoint stay. */
  quarantine(failure: Failure): Promise<JobResult>;
  /** Gives the job back unharmed (drain): the attempt does not count towards `stuckAttempts`. */
  release(): Promise<void>;
}
