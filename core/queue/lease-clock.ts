import { Abandoned } from '../contracts/errors.ts';

/** Milliseconds, monotonic; `after` returns its own cancellation. */
export interface LeaseTime {
  now(): number;
  after(ms: number, wake: () => void): () => void;
}

export interface LeaseClockOptions {
  readonly time: LeaseTime;
  readonly what: string;
  /** How long Redis keeps the lock after it was taken or extended. */
  readonly lockMs: number;
  /** Ours ends so much earlier, so that what was begun in time also ends in time. */
  readonly marginMs: number;
  /** When the lock was surely ours: the moment before the request that took it was sent. */
  readonly provenAt: number;
}

/**
 * Says when a lock may be gone, from our own clock alone: a partition, a stopped Redis and a frozen process all look
 * the same, which is that no proof arrives.
 *
 *   held ── no proof for lockMs - marginMs, or a refusal ──▶ lost (for good; `signal` aborts with Abandoned)
 *
 * `signal.aborted` looks at the clock each time it is read: after a freeze the holder asks before any timer has fired.
 */
export class LeaseClock {
  readonly signal: AbortSignal;
  private readonly options: LeaseClockOptions;
  private readonly controller = new AbortController();
  private provenAt: number;
  private cancelTimer: (() => void) | null = null;
  private lost = false;

  constructor(options: LeaseClockOptions) {
    this.options = options;
    this.provenAt = options.provenAt;
    this.signal = this.watchedSignal();
    this.wait();
  }

  /** The lock was ours at `at`: when the request that extended it was sent, not when its answer came. */
  prove(at: number): void {
    if (!this.isLost()) this.provenAt = Math.max(this.provenAt, at);
  }

  /** Redis itself says that the lock is not ours. */
  refuse(): void {
    this.lose(`${this.options.what}: Redis says that the lock is gone`);
  }

  isLost(): boolean {
    if (this.lost) return true;
    if (this.remaining() > 0) return false;
    const silentMs = Math.round(this.options.time.now() - this.provenAt);
    const { what, lockMs, marginMs } = this.options;
    this.lose(`${what}: no proof of the lock for ${silentMs} ms (lock ${lockMs} ms, margin ${marginMs} ms)`);
    return true;
  }

  close(): void {
    this.cancelTimer?.();
    this.cancelTimer = null;
  }

  private remaining(): number {
    const { time, lockMs, marginMs } = this.options;
    return this.provenAt + lockMs - marginMs - time.now();
  }

  private wait(): void {
    if (this.isLost()) return;
    this.cancelTimer = this.options.time.after(this.remaining(), () => this.wait());
  }

  private lose(text: string): void {
    if (this.lost) return;
    this.lost = true;
    this.close();
    this.controller.abort(new Abandoned('lease_lost', text));
  }

  private watchedSignal(): AbortSignal {
    const { signal } = this.controller;
    Object.defineProperty(signal, 'aborted', { get: () => this.isLost() });
    Object.defineProperty(signal, 'throwIfAborted', {
      value: () => {
        if (this.isLost()) throw signal.reason;
      },
    });
    return signal;
  }
}

export const systemLeaseTime: LeaseTime = {
  now: () => performance.now(),
  after: (ms, wake) => {
    const timer = setTimeout(wake, Math.max(1, Math.ceil(ms)));
    return () => clearTimeout(timer);
  },
};
