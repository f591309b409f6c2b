import type { JobId } from '@longhaul/core/contracts';
import type { JobQueue, QueueCensus } from '@longhaul/core/queue';

/** A line for the operator's log. */
export type Log = (
  level: 'debug' | 'info' | 'warn' | 'error',
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

/** The part of a model's queue that a sweep works on. */
export type SweptQueue = Pick<JobQueue, 'enqueue' | 'remove'> & QueueCensus;

/** The queues of all models that somebody asked about. */
export interface Queues {
  /** Opened, with its reaper, where it is not open yet. */
  of(model: string): SweptQueue;
  /** The models whose queues are open, in order. */
  models(): readonly string[];
  /** Closes the queues of all models but these and those that the settings name. */
  keep(models: ReadonlySet<string>): Promise<void>;
  close(): Promise<void>;
}

/** Called with each job that a reaper brought back. */
export type OnReaped = (jobId: JobId) => void;
