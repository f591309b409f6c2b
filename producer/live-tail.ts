import { type Clock, describeError, type Progress } from '@longhaul/core/contracts';
import { LiveGap, type LiveNews, type LiveStream } from '@longhaul/core/stream';
import { within } from './within.ts';

export type Heard =
  | { readonly kind: 'news'; readonly news: LiveNews }
  /** Time to look at the ledger again; `progress` is null where the live side does not tell. */
  | { readonly kind: 'tick'; readonly progress: Progress | null }
  | { readonly kind: 'notice'; readonly code: 'live_away' | 'live_back'; readonly text: string };

type Settled =
  | { readonly kind: 'next'; readonly result: IteratorResult<LiveNews> }
  | { readonly kind: 'failed'; readonly error: unknown };

/**
 * The live stream of one job with a clock beside it: a stream that hangs, or that never hears of the end because Redis
 * was restarted, still lets the reader look at the ledger every `pollMs`.
 */
export class LiveTail {
  private readonly live: LiveStream;
  private readonly jobId: string;
  private readonly clock: Clock;
  private readonly pollMs: number;
  private away = false;
  private ends = 0;

  constructor(live: LiveStream, jobId: string, clock: Clock, pollMs: number) {
    this.live = live;
    this.jobId = jobId;
    this.clock = clock;
    this.pollMs = pollMs;
  }

  /** True once: the result is due at once after the stream's end, and worth a wait where it is not there yet. */
  firstEnd(): boolean {
    this.ends += 1;
    return this.ends === 1;
  }

  /** Ends on a gap, on a loss of the stream and where the stream ends; the reader goes to the ledger then. */
  async *listen(
    from: { readonly after: number; readonly epoch: number },
    signal: AbortSignal,
  ): AsyncGenerator<Heard, void> {
    const stop = new AbortController();
    const until = AbortSignal.any([signal, stop.signal]);
    const events = this.live.read(this.jobId, { ...from, signal: until })[Symbol.asyncIterator]();
    let pending = settle(events.next());
    let tick = this.tick(until);
    try {
      yield* this.look();
      for (;;) {
        const first = await Promise.race([pending, tick]);
        signal.throwIfAborted();
        if (first === 'tick') {
          yield* this.look();
          tick = this.tick(until);
          continue;
        }
        if (first.kind === 'failed') {
          if (!(first.error instanceof LiveGap)) yield* this.lost(first.error);
          return;
        }
        if (first.result.done === true) return;
        yield { kind: 'news', news: first.result.value };
        pending = settle(events.next());
      }
    } finally {
      stop.abort(new Error('no longer listening'));
      void settle(events.return?.() ?? Promise.resolve({ done: true, value: undefined }));
    }
  }

  private async *look(): AsyncGenerator<Heard, void> {
    let progress: Progress | null = null;
    try {
      progress = await within(this.pollMs, this.live.readProgress(this.jobId), 'reading progress');
      if (this.away) yield { kind: 'notice', code: 'live_back', text: 'the live stream is back' };
      this.away = false;
    } catch (error) {
      yield* this.lost(error);
    }
    yield { kind: 'tick', progress };
  }

  private *lost(error: unknown): Generator<Heard, void> {
    if (this.away) return;
    this.away = true;
    const text = `the live stream is away, committed output is followed: ${describeError(error)}`;
    yield { kind: 'notice', code: 'live_away', text };
  }

  private async tick(signal: AbortSignal): Promise<'tick'> {
    await this.clock.sleep(this.pollMs, signal).catch(() => undefined);
    return 'tick';
  }
}

function settle(next: Promise<IteratorResult<LiveNews>>): Promise<Settled> {
  return next.then(
    (result): Settled => ({ kind: 'next', result }),
    (error: unknown): Settled => ({ kind: 'failed', error }),
  );
}
