import { type Clock, FatalFailure } from '@longhaul/core/contracts';

/** What a job waits for: names the culprit where nothing comes of it. */
export type Waiting = 'source' | 'engine' | 'store';

/** What the job's tasks tell the watchdog. */
export interface Watch {
  /** Something came, and this is what is waited for now. */
  waitsFor(waiting: Waiting): void;
  /** Something is done about it, and somebody answers. */
  alive(): void;
  /** From now on a token that was read is a sign of life as well. */
  follow(tokensRead: () => number): void;
}

const codes = { source: 'source_unreadable', engine: 'engine_failure', store: 'store_unavailable' } as const;

/** Looks in so many parts of the limit. */
const looks = 10;

/**
 * Watches that a job moves, not that its process lives: a hung device call or a source that neither gives nor breaks
 * leaves a process that renews its lock for ever. Time in which the process itself stood still is not counted.
 */
export class Watchdog implements Watch {
  /** Rejects with a FatalFailure when nothing has moved for `limitMs`. */
  readonly hung: Promise<never>;
  private readonly clock: Clock;
  private readonly limitMs: number;
  private readonly closed = new AbortController();
  private waiting: Waiting = 'source';
  private tokensRead: () => number = () => 0;
  private seen = 0;
  private idleMs = 0;

  constructor(clock: Clock, limitMs: number, what: string) {
    this.clock = clock;
    this.limitMs = limitMs;
    const { promise, reject } = Promise.withResolvers<never>();
    this.hung = promise;
    // Nobody need be listening any more.
    promise.catch(() => undefined);
    void this.look().then((isHung) => {
      if (!isHung) return;
      const text = `${what}: nothing came of the ${this.waiting} for ${limitMs / 1000} s, at token ${this.seen}`;
      reject(new FatalFailure(codes[this.waiting], text));
    });
  }

  waitsFor(waiting: Waiting): void {
    this.waiting = waiting;
    this.idleMs = 0;
  }

  alive(): void {
    this.idleMs = 0;
  }

  follow(tokensRead: () => number): void {
    this.tokensRead = tokensRead;
  }

  close(): void {
    this.closed.abort();
  }

  /** Whether the limit was reached before `close`. */
  private async look(): Promise<boolean> {
    const everyMs = this.limitMs / looks;
    while (this.idleMs < this.limitMs) {
      const from = this.clock.now();
      try {
        await this.clock.sleep(everyMs, this.closed.signal);
      } catch {
        return false;
      }
      const tokens = this.tokensRead();
      this.idleMs = tokens === this.seen ? this.idleMs + Math.min(this.clock.now() - from, everyMs) : 0;
      this.seen = tokens;
    }
    return true;
  }
}

/** Where nobody watches. */
export const unwatched: Watch = { waitsFor: () => {}, alive: () => {}, follow: () => {} };
