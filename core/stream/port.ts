import type { LiveEvent, Progress } from '../contracts/events.ts';
import type { JobId } from '../contracts/job.ts';

type Begin = Extract<LiveEvent, { readonly kind: 'begin' }>;

/**
 * What a reader hears, and of which owner. `rewind` takes back the records behind `to`: a newer owner goes on from there
 * and its tokens follow, or the job ended there.
 */
export type LiveNews = (
  | Exclude<LiveEvent, Begin>
  | { readonly kind: 'rewind'; readonly from: number; readonly to: number }
) & { readonly epoch: number };

/**
 * The live side of a job on Redis: tokens as they are sampled, and progress. May be lost at any time without losing
 * work; readers go to the ledger for what is committed and come here for the tail.
 */
export interface LiveStream {
  /**
   * Events of an older epoch than the stream's, and positions that this epoch has passed, are refused by Redis itself;
   * returns how many were taken. A newer epoch's first event starts the stream over.
   */
  append(jobId: JobId, epoch: number, events: readonly LiveEvent[]): Promise<number>;

  /** Progress of an older epoch than the last posted one is dropped. Returns whether it was taken. */
  postProgress(jobId: JobId, progress: Progress): Promise<boolean>;
  readProgress(jobId: JobId): Promise<Progress | null>;

  /**
   * Events after output position `after` (0 = from the start of what the stream still holds), then live ones as they
   * come; ends after the `end` event. `epoch` is that of the owner whose word the reader's records are (the head's, for
   * one who comes from the ledger): nothing older is given. Null takes the epoch that the stream shows.
   *
   * Throws `LiveGap` where an event that is due is not there any more, so that the reader goes to the ledger.
   */
  read(
    jobId: JobId,
    options: { readonly after: number; readonly epoch: number | null; readonly signal: AbortSignal },
  ): AsyncIterable<LiveNews>;

  /** The quick way to be heard by the worker in hand; the ledger's mark is the truth. */
  signalCancel(jobId: JobId): Promise<void>;
  cancelSignalled(jobId: JobId): Promise<boolean>;

  close(): Promise<void>;
}

/** Records before `firstPosition` were trimmed or lost: read the committed segments, then come back. */
export class LiveGap extends Error {
  readonly firstPosition: number;
  constructor(firstPosition: number) {
    super(`the live stream goes on at output position ${firstPosition}`);
    this.name = 'LiveGap';
    this.firstPosition = firstPosition;
  }
}
