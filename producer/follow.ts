import {
  type Clock,
  describeError,
  type Head,
  hasEnded,
  type JobResult,
  type JobSpec,
  type JobStatus,
  LonghaulError,
  type OutputRecord,
  type Progress,
  RetryableFailure,
} from '@longhaul/core/contracts';
import type { Ledger } from '@longhaul/core/ledger';
import type { LiveStream } from '@longhaul/core/stream';
import { committedProgress, type Estimate, estimate } from './eta.ts';
import { LiveTail } from './live-tail.ts';

/**
 * What a follower sees. Records come in order, each once; one that is not `committed` yet came from the live stream.
 * `rewind` takes back records that a job which ended early never committed. `result` is the last event.
 */
export type FollowEvent =
  | { readonly kind: 'status'; readonly status: JobStatus; readonly epoch: number }
  | { readonly kind: 'progress'; readonly progress: Progress; readonly estimate: Estimate }
  | { readonly kind: 'record'; readonly record: OutputRecord; readonly committed: boolean }
  | { readonly kind: 'notice'; readonly code: NoticeCode; readonly text: string }
  | { readonly kind: 'rewind'; readonly from: number; readonly to: number }
  | { readonly kind: 'result'; readonly result: JobResult };

export type NoticeCode = 'live_away' | 'live_back' | 'store_away' | 'store_back';

export interface FollowOptions {
  /** Output records that the caller has already; 0 is from the start. */
  readonly after: number;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** Milliseconds between two looks at the ledger. */
  readonly pollMs: number;
  /** Milliseconds that the store may be out of reach before following fails. */
  readonly patienceMs: number;
}

export const followDefaults = { after: 0, pollMs: 1000, patienceMs: 300_000 } as const;

/**
 * Committed output from the ledger, then the live tail, and back to the ledger whenever the tail is lost, has a gap or
 * falls behind. The position of every record is checked, so neither side can lose or repeat one.
 *
 *   ledger ── all that is committed was given ──▶ live ── gap, loss, fallen behind, end ──▶ ledger … ──▶ result
 *
 * @throws LonghaulError `job_not_found`; `object_corrupt` where the committed output does not fit together
 */
export async function* followJob(
  ledger: Ledger,
  live: LiveStream | null,
  jobId: string,
  options: FollowOptions,
): AsyncGenerator<FollowEvent, void> {
  const { clock, signal, pollMs } = options;
  const spec = await ledger.readSpec(jobId);
  const view = new FollowView(spec, options.after);
  const tail = live === null ? null : new LiveTail(live, jobId, clock, pollMs);
  let storeAwaySince: number | null = null;
  for (;;) {
    signal.throwIfAborted();
    const given = view.next;
    let ended = false;
    try {
      // The result is read first: nothing is committed after it, so the output read next is whole.
      const result = await ledger.readResult(jobId);
      const head = await ledger.readHead(jobId);
      if (storeAwaySince !== null) yield { kind: 'notice', code: 'store_back', text: 'the store is back' };
      storeAwaySince = null;
      yield* view.observe(head);
      yield* committed(ledger, view, head);
      if (result !== null) {
        yield* view.conclude(result, head);
        return;
      }
      if (tail === null) {
        if (head !== null) yield* view.progress(committedProgress(head));
      } else {
        ended = yield* liveTail(ledger, tail, view, signal);
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof RetryableFailure)) throw error;
      if (storeAwaySince === null) {
        storeAwaySince = clock.now();
        yield { kind: 'notice', code: 'store_away', text: `the store is out of reach: ${describeError(error)}` };
      } else if (clock.now() - storeAwaySince > options.patienceMs) throw error;
    }
    if (view.next === given && !ended) await clock.sleep(pollMs, signal);
  }
}

async function* committed(ledger: Ledger, view: FollowView, head: Head | null): AsyncGenerator<FollowEvent, void> {
  if (head === null || head.position.outputCount <= view.next) return;
  for await (const record of ledger.readOutput(head.jobId, { skip: view.next })) yield view.takeCommitted(record);
}

/** Gives the live tail until the ledger has to be read again; true where the stream says that the job has ended. */
async function* liveTail(
  ledger: Ledger,
  tail: LiveTail,
  view: FollowView,
  signal: AbortSignal,
): AsyncGenerator<FollowEvent, boolean> {
  for await (const heard of tail.listen(view.next, signal)) {
    if (heard.kind === 'tick') {
      const head = await ledger.readHead(view.spec.jobId);
      yield* view.observe(head);
      const progress = heard.progress ?? (head === null ? null : committedProgress(head));
      if (progress !== null) yield* view.progress(progress);
      if (head === null) continue;
      if (head.position.outputCount > view.next || hasEnded(head.status)) return false;
    } else if (heard.kind === 'notice') {
      yield heard;
    } else if (heard.event.kind === 'end') {
      return tail.firstEnd();
    } else if (view.spec.task.kind === 'generate' && heard.event.position > view.next) {
      // A stream that lost its beginning goes on past a hole: the ledger fills it.
      if (heard.event.position > view.next + 1) return false;
      const { position, token, logprob, text } = heard.event;
      view.next = position;
      yield { kind: 'record', record: { position, token, logprob, text }, committed: false };
    }
  }
  return false;
}

/** What the follower was given so far, so that nothing is given twice. */
class FollowView {
  readonly spec: JobSpec;
  /** Output records given. */
  next: number;
  private status = '';
  private shown = '';

  constructor(spec: JobSpec, after: number) {
    this.spec = spec;
    this.next = after;
  }

  *observe(head: Head | null): Generator<FollowEvent, void> {
    const status = head?.status ?? 'queued';
    const epoch = head?.epoch ?? 0;
    if (this.status === `${status} ${epoch}`) return;
    this.status = `${status} ${epoch}`;
    yield { kind: 'status', status, epoch };
  }

  *progress(progress: Progress): Generator<FollowEvent, void> {
    const text = JSON.stringify(progress);
    if (this.shown === text) return;
    this.shown = text;
    yield { kind: 'progress', progress, estimate: estimate(progress, this.spec) };
  }

  takeCommitted(record: OutputRecord): FollowEvent {
    if ('position' in record && record.position !== this.next + 1) {
      throw new LonghaulError(
        'object_corrupt',
        `committed output of ${this.spec.jobId}: position ${this.next + 1} was due, found ${record.position}`,
      );
    }
    this.next += 1;
    return { kind: 'record', record, committed: true };
  }

  *conclude(result: JobResult, head: Head | null): Generator<FollowEvent, void> {
    const count = head?.position.outputCount ?? 0;
    if (this.next < count) {
      throw new LonghaulError(
        'object_corrupt',
        `committed output of ${this.spec.jobId}: the head counts ${count} records, the segments gave ${this.next}`,
      );
    }
    if (this.next > count) yield { kind: 'rewind', from: this.next, to: count };
    yield { kind: 'result', result };
  }
}
