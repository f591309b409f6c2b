import type { Clock } from '@longhaul/core/contracts';

/** Lets callers pass one after another, at most so many a second; one that is late brings nothing back. */
export class Rate {
  private readonly clock: Clock;
  private readonly betweenMs: number;
  private nextAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, perSecond: number) {
    this.clock = clock;
    this.betweenMs = 1000 / perSecond;
  }

  /** Rejects with the signal's reason when it aborts. */
  async pass(signal: AbortSignal): Promise<void> {
    const now = this.clock.now();
    const at = Math.max(now, this.nextAt);
    this.nextAt = at + this.betweenMs;
    signal.throwIfAborted();
    if (at > now) await this.clock.sleep(at - now, signal);
  }
}
