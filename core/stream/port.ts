import type { LiveEvent, Progress } from '../contracts/events.ts';
import type { JobId } from '../contracts/job.ts';

/**
 * The live side of a job on Redis: tokens as they are sampled, and progress. May be lost at any time without losing
 * work; readers go to the ledger for what is committed and come here for the tail.
 */
export interface LiveStream {
  /** Events with positions at or below the stream's last id are refused by Redis itself; returns how many were taken. */
  append(jobId: JobId, epoch: number, events: readonly LiveEvent[]): Promise<number>;

  /** Progress of an older epoch than the last posted one is dropped. Returns whether it was taken. */
  postProgress(jobId: JobId, progress: Progress): Promise<boolean>;
  readProgress(jobId: JobId): Promise<Progress | null>;

  /**
   * Events after output position `after` (0 = from the start of what the stream still holds), then live ones as they
   * come; ends after the `end` event. A gap (trimmed entries) throws `LiveGap` so that the reader goes to the ledger.
   */
  read(jobId: JobId, options: { readonly after: number; readonly signal: AbortSignal }): AsyncIterable<LiveEvent>;

  /** The quick way to be heard by the worker in hand; the ledger's mark is the truth. */
  signalCancel(jobId: JobId): Promise<void>;
  cancelSignalled(jobId: JobId): Promise<boolean>;

  close(): Promise<void>;
}

/** Entries between `after` and the stream's first entry were trimmed: read the committed segments, then come back. */
export class LiveGap extends Error {
  readonly firstPosition: number;
  constructor(firstPosition: number) {
    super(`the live stream starts at output position ${firstPosition}`);
    this.name = 'LiveGap';
    this.firstPosition = firstPosition;
  }
}
