import { describeError, type LiveEvent } from '@longhaul/core/contracts';
import type { JobContext } from './context.ts';

/** Events that may wait for Redis; beyond that the oldest are dropped, and readers find them in the ledger. */
const mostWaiting = 4096;
/** Dropped at once, so that a long stall costs little a token. */
const dropEvents = 512;
/** Events of one call. */
const batchEvents = 512;
const retryMs = 250;
/** Milliseconds that the end of an attempt waits for Redis to take what is left. */
const settleMs = 1000;

/**
 * Sends sampled tokens to the live stream in order, in batches, without ever holding up the engine: Redis is waited for
 * only at the end, and only for `settleMs`. A batch that fails is sent again, since Redis takes each position once.
 */
export class LiveWriter {
  private readonly context: JobContext;
  private readonly closing = new AbortController();
  private readonly stop: AbortSignal;
  private waiting: LiveEvent[] = [];
  private sending: Promise<void> | null = null;

  constructor(context: JobContext) {
    this.context = context;
    this.stop = AbortSignal.any([context.lost, this.closing.signal]);
  }

  emit(event: LiveEvent): void {
    if (this.context.live === null || this.stop.aborted) return;
    this.waiting.push(event);
    if (this.waiting.length > mostWaiting) this.waiting.splice(0, dropEvents);
    this.sending ??= this.send();
  }

  /** Waits until Redis has taken everything, for a moment at most; nothing is sent after that. */
  async settle(): Promise<void> {
    const inTime = new AbortController();
    const late = this.context.clock.sleep(settleMs, inTime.signal).catch(() => undefined);
    await Promise.race([this.sending, late]);
    inTime.abort();
    this.close();
  }

  /** Drops what waits. */
  close(): void {
    this.closing.abort();
    this.waiting = [];
  }

  private async send(): Promise<void> {
    const { live, spec, lease, log, clock } = this.context;
    // One turn of the event loop gathers what a step produced; a first token is on its way at once.
    await Promise.resolve();
    while (this.waiting.length > 0 && !this.stop.aborted) {
      const batch = this.waiting.splice(0, batchEvents);
      try {
        await live!.append(spec.jobId, lease.epoch, batch);
      } catch (error) {
        log('warn', 'tokens were not streamed', { job: spec.jobId, count: batch.length, reason: describeError(error) });
        this.waiting = [...batch, ...this.waiting].slice(-mostWaiting);
        await clock.sleep(retryMs, this.stop).catch(() => undefined);
      }
    }
    this.sending = null;
  }
}
