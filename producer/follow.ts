import {
  type Clock,
  describeError,
  type Head,
  hasEnded,
  type JobResult,
  type JobStatus,
  type OutputRecord,
  type Progress,
  RetryableFailure,
} from '@longhaul/core/contracts';
import type { Ledger } from '@longhaul/core/ledger';
import type { LiveStream } from '@longhaul/core/stream';
import type { Estimate } from './eta.ts';
import { FollowView } from './follow-view.ts';
import { LiveTail } from './live-tail.ts';

/**
 * What a follower sees. Records come in order, each once; one that is not `committed` yet came from the live stream.
 * `rewind` takes back the records behind `to`: a new owner goes on from there, and they come again, the same; or the
 * job ended there. `result` is the last event.
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
  /** Leaves the live tail out: every record is committed, and none is ever taken back. */
  readonly committedOnly: boolean;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** Milliseconds between two looks at the ledger. */
  readonly pollMs: number;
  /** Milliseconds that the store may be out of reach before following fails. */
  readonly patienceMs: number;
}

export const followDefaults = { after: 0, committedOnly: false, pollMs: 1000, patienceMs: 300_000 } as const;

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
  const view = new FollowView(spec, options);
  const tail = live === null || options.committedOnly ? null : new LiveTail(live, jobId, clock, pollMs);
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
      // A job that was redriven in between goes on.
      if (result !== null && (head === null || head.generation === result.generation)) {
        yield* view.conclude(result, head);
        return;
      }
      if (tail === null) {
        yield* view.progress(null, head);
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
  const { spec } = view;
  for await (const heard of tail.listen({ after: view.next, epoch: view.epoch ?? 0 }, signal)) {
    if (heard.kind === 'notice') {
      yield heard;
    } else if (heard.kind === 'tick') {
      const head = await ledger.readHead(spec.jobId);
      const given = view.next;
      yield* view.observe(head);
      yield* view.progress(heard.progress, head);
      if (head === null) continue;
      // The ledger has more, or took something back: the tail is of another place.
      if (head.position.outputCount > view.next || view.next !== given || hasEnded(head.status)) return false;
    } else if (heard.news.kind === 'end') {
      return tail.firstEnd();
    } else if (spec.task.kind === 'generate' || spec.task.kind === 'ask') {
      if (heard.news.kind === 'rewind') yield* view.rewind(heard.news.to);
      else if (heard.news.position > view.next) yield view.takeLive(heard.news);
    }
  }
  return false;
}
