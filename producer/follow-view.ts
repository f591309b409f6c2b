import {
  type Head,
  type JobResult,
  type JobSpec,
  LonghaulError,
  type OutputRecord,
  outputPositionOf,
  type Progress,
} from '@longhaul/core/contracts';
import type { LiveNews } from '@longhaul/core/stream';
import { committedProgress, estimate } from './eta.ts';
import type { FollowEvent } from './follow.ts';

type LiveRecord = Extract<LiveNews, { readonly kind: 'token' | 'answer' }>;

/** What a follower was given so far: nothing is given twice, and what does not stand any more is taken back. */
export class FollowView {
  readonly spec: JobSpec;
  /** Records that the caller has from before: neither given nor taken back. */
  private readonly after: number;
  private readonly committedOnly: boolean;
  /** Output records given. */
  next: number;
  /** The owner whose word the records are, as far as they are not committed; null before the first look. */
  epoch: number | null = null;
  private committed = 0;
  private status = '';
  private shown = '';

  constructor(spec: JobSpec, options: { readonly after: number; readonly committedOnly: boolean }) {
    this.spec = spec;
    this.after = options.after;
    this.next = options.after;
    this.committedOnly = options.committedOnly;
  }

  /** The ledger's word: a newer owner goes on from the committed end, which may itself have gone back. */
  *observe(head: Head | null): Generator<FollowEvent, void> {
    const status = head?.status ?? 'queued';
    const epoch = head?.epoch ?? 0;
    if (this.status !== `${status} ${epoch}`) {
      this.status = `${status} ${epoch}`;
      yield { kind: 'status', status, epoch };
    }
    const count = head?.position.outputCount ?? 0;
    const takenOver = this.epoch !== null && epoch > this.epoch;
    const goneBack = count < this.committed;
    this.committed = count;
    this.epoch = Math.max(epoch, this.epoch ?? 0);
    if (takenOver || goneBack) yield* this.rewind(count);
  }

  /** Progress that another owner than the head's posted last says nothing of the job as it is now. */
  *progress(posted: Progress | null, head: Head | null): Generator<FollowEvent, void> {
    const heard = posted !== null && posted.epoch >= (this.epoch ?? 0) ? posted : null;
    const progress = heard ?? (head === null ? null : committedProgress(head));
    if (progress === null) return;
    const text = JSON.stringify(progress);
    if (this.shown === text) return;
    this.shown = text;
    yield { kind: 'progress', progress, estimate: estimate(progress, this.spec) };
  }

  takeCommitted(record: OutputRecord): FollowEvent {
    const position = outputPositionOf(record);
    if (position !== null && position !== this.next + 1) {
      throw new LonghaulError(
        'object_corrupt',
        `committed output of ${this.spec.jobId}: position ${this.next + 1} was due, found ${position}`,
      );
    }
    this.next += 1;
    return { kind: 'record', record, committed: true };
  }

  takeLive(news: LiveRecord): FollowEvent {
    this.next = news.position;
    this.epoch = news.epoch;
    return { kind: 'record', record: recordOf(news), committed: false };
  }

  *rewind(end: number): Generator<FollowEvent, void> {
    const to = Math.max(end, this.after);
    if (this.committedOnly || this.next <= to) return;
    const from = this.next;
    this.next = to;
    yield { kind: 'rewind', from, to };
  }

  *conclude(result: JobResult, head: Head | null): Generator<FollowEvent, void> {
    const count = head?.position.outputCount ?? 0;
    if (this.next < count) {
      throw new LonghaulError(
        'object_corrupt',
        `committed output of ${this.spec.jobId}: the head counts ${count} records, the segments gave ${this.next}`,
      );
    }
    yield* this.rewind(count);
    yield { kind: 'result', result };
  }
}

function recordOf(news: LiveRecord): OutputRecord {
  if (news.kind === 'answer') return news.record;
  const { kind, epoch, ...record } = news;
  return record;
}
