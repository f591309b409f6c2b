import { describeError, type LiveEvent } from '@longhaul/core/contracts';
import type { JobContext } from './context.ts';

/** Events that may wait for Redis; beyond that the oldest are dropped, and readers find them in the ledger. */
const mostWaiting = 4096;

/** Sends sampled tokens to the live stream in order, in batches, without ever holding up the engine. */
export class LiveWriter {
  private readonly context: JobContext;
  private waiting: LiveEvent[] = [];
  private sending: Promise<void> | null = null;

  constructor(context: JobContext) {
    this.context = context;
  }

  emit(event: LiveEvent): void {
    if (this.context.live === null || this.context.lost.aborted) return;
    this.waiting.push(event);
    if (this.waiting.length > mostWaiting) this.waiting.shift();
    this.sending ??= this.send();
  }

  async settle(): Promise<void> {
    await this.sending;
  }

  private async send(): Promise<void> {
    const { live, spec, lease, log, lost } = this.context;
    // One turn of the event loop gathers what a step produced; a first token is on its way at once.
    await Promise.resolve();
    while (this.waiting.length > 0 && !lost.aborted) {
      const batch = this.waiting;
      this.waiting = [];
      try {
        await live!.append(spec.jobId, lease.epoch, batch);
      } catch (error) {
        log('warn', 'tokens were not streamed', { job: spec.jobId, count: batch.length, reason: describeError(error) });
      }
    }
    this.sending = null;
  }
}
