import type { CheckpointRef, Failure, Head, Pins, Position, ScoreTotals } from '../contracts/head.ts';
import type { JobId, JobSpec } from '../contracts/job.ts';
import type { OutputRecord } from '../contracts/output.ts';
import type { Pin } from '../contracts/pin.ts';
import type { AnswerCounts, FinishReason, JobResult, ScoreSummary, Usage } from '../contracts/result.ts';
import type { StoredSource } from '../contracts/source.ts';
import type { StatePoint } from '../contracts/state-name.ts';

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
  putInput(body: AsyncIterable<Uint8Array>): Promise<{ readonly source: StoredSource; readonly bytes: number }>;

  readSpec(jobId: JobId): Promise<JobSpec>; // job_not_found
  /** Made here where the submitter died before it was. Null: no such job. */
  readHead(jobId: JobId): Promise<Head | null>;
  /** Of the job's present generation, or of the one that is named: a redriven job keeps its earlier results. */
  readResult(jobId: JobId, generation?: number): Promise<JobResult | null>;
  /** Newest first. Lists every job there is: use `listOpen` for the few that have not ended. */
  listJobs(options: { readonly limit: number }): Promise<readonly JobId[]>;
  /** Every job that was accepted and has not ended, in no particular order, from markers that are kept for it. */
  listOpen(options: { readonly limit: number }): AsyncIterable<JobId>;
  listQuarantined(options: { readonly limit: number }): AsyncIterable<JobId>;

  /**
   * Takes ownership: epoch+1. A job that has ended, or now ends (stuck, cancelled before it ran, past its deadline), is
   * `settled`.
   */
  acquire(jobId: JobId, owner: string): Promise<Acquired>;

  /** Verified against its digest before a byte is used: `checkpoint_corrupt`. */
  loadCheckpoint(jobId: JobId, ref: CheckpointRef): Promise<StateTensors>;

  /**
   * Committed output records from the `skip`-th on (0 = all), verified, each once; ends at the head's committed end. That
   * end may go back, where a checkpoint was lost: the same records are committed again then.
   */
  readOutput(jobId: JobId, options: { readonly skip: number }): AsyncIterable<OutputRecord>;

  /** Leaves a mark that the owner sees within a second and every later acquire sees at once. */
  requestCancel(jobId: JobId): Promise<void>;
  cancelRequested(jobId: JobId): Promise<boolean>;

  /**
   * Puts a quarantined or expired job back as `queued`, one generation on, with its checkpoint, output and position; the
   * caller rings the queue. `expiresAt` is its new deadline. A job that has not ended is left as it is, and one that is
   * done or cancelled is `job_ended`.
   */
  redrive(jobId: JobId, options?: { readonly expiresAt: string | null }): Promise<Redriven>;

  /**
   * Ends a job whose deadline has passed. An owner at work sees it by itself, so a running job is taken from it only
   * `graceMs` later (60 s unless said otherwise).
   */
  expire(jobId: JobId, options?: { readonly graceMs: number }): Promise<Ending>;

  /**
   * Ends a job whose end is due (a result without a finished head, a cancel mark, a deadline, too many attempts without a
   * commit) and that no worker has; never takes one to run. `seen` is a head read before the caller looked whether a
   * worker has the job: where it has changed since, somebody is at work, and the job is left alone.
   */
  endIfDue(jobId: JobId, seen: Head): Promise<Ending>;

  /**
   * Keeps the job's newest checkpoint from being deleted until `unpin`. Again under the same name: the same pin where it
   * still holds the newest or the one before, else `pin_exists`. `pin_not_found`: there is no checkpoint yet.
   */
  pin(jobId: JobId, name: string): Promise<Pin>;
  unpin(jobId: JobId, name: string): Promise<void>;
  listPins(jobId: JobId): Promise<readonly Pin[]>;

  close(): Promise<void>;
}

export type Acquired =
  | { readonly kind: 'lease'; readonly lease: Lease; readonly spec: JobSpec }
  | { readonly kind: 'settled'; readonly head: Head; readonly spec: JobSpec };

export interface Redriven {
  /** `open`: it had not ended, and nothing was changed. */
  readonly outcome: 'redriven' | 'open';
  readonly head: Head;
}

export interface Ending {
  /** `ended` as the head says, now or before; `not-due`: the job may go on. */
  readonly outcome: 'ended' | 'not-due';
  readonly head: Head;
}

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
  /** `ask` only. */
  readonly answers: AnswerCounts | null;
  /** The version that was published before. */
  readonly state: StatePoint | null;
}

/** Ownership of one job under one epoch. Calls must not overlap: the worker awaits one before the next. */
export interface Lease {
  readonly jobId: JobId;
  readonly epoch: number;
  /** The head as this lease last wrote or read it. */
  readonly head: Head;
  /** After a RetryableFailure it may have happened: the same commit may be tried again, no other one. */
  commit(commit: Commit): Promise<Head>;
  /**
   * Goes back from the newest checkpoint, which cannot be used, to the one before it, or to the beginning: a commit of
   * its own, after which `head` says where to go on. May be tried again as a commit may. `checkpoint_corrupt` where that
   * has been of no use several times in a row.
   */
  fallBack(unusable: { readonly key: string; readonly message: string }): Promise<Head>;
  /** After the last commit: result.json, then head 'done'. Returns what is stored, also where a former self stored it. */
  complete(completion: Completion): Promise<JobResult>;
  /** Ends the job as cancelled; committed output and checkpoint stay readable. */
  cancel(): Promise<JobResult>;
  /** Ends the job as expired; committed output and checkpoint stay readable. */
  expire(): Promise<JobResult>;
  /** Ends the job with a reason; committed output and checkpoint stay. */
  quarantine(failure: Failure): Promise<JobResult>;
  /** Gives the job back unharmed (drain): the attempt does not count towards `stuckAttempts`. */
  release(): Promise<void>;
}
