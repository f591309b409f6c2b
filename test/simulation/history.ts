import type { Head, JobId, JobResult, LiveEvent, OutputRecord } from '@longhaul/core/contracts';

/** What happened, in the order in which it took effect: the checker's only input. */
export type Observation =
  | { readonly kind: 'head'; readonly before: Head | null; readonly after: Head }
  | { readonly kind: 'result'; readonly before: JobResult | null; readonly after: JobResult }
  /** Any other object; `overwritten` where something else was there. */
  | { readonly kind: 'object'; readonly key: string; readonly overwritten: boolean }
  | { readonly kind: 'deleted'; readonly key: string }
  /** A pin of this checkpoint holds, for good. */
  | { readonly kind: 'pinned'; readonly key: string }
  /** The queue was told that the job is over. */
  | { readonly kind: 'acknowledged'; readonly jobId: JobId; readonly as: 'completed' | 'failed' }
  /** The live stream took an event. */
  | { readonly kind: 'live'; readonly jobId: JobId; readonly epoch: number; readonly event: LiveEvent }
  /** Redis lost the stream. */
  | { readonly kind: 'live-lost'; readonly jobId: JobId }
  /** A reader was given a record; `position` counts from 1. */
  | { readonly kind: 'given'; readonly reader: string; readonly position: number; readonly record: OutputRecord }
  /** Records from..to (from > to) were taken back. */
  | { readonly kind: 'rewound'; readonly reader: string; readonly from: number; readonly to: number }
  /** A reader was told the end. */
  | { readonly kind: 'told'; readonly reader: string; readonly result: JobResult };

/** What is there once everything has come to rest and the garbage was swept. */
export interface Rest {
  readonly head: Head | null;
  readonly result: JobResult | null;
  readonly keys: readonly string[];
  /** Checkpoints that pins name. */
  readonly pinnedKeys: readonly string[];
  /** Committed output, read back through the ledger. */
  readonly records: readonly OutputRecord[];
}
