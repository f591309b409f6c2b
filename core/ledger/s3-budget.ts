import { setTimeout as sleep } from 'node:timers/promises';
import { JobError, RetryableFailure } from '../contracts/errors.ts';
import { PreconditionFailed } from './object-store.ts';
import { AttemptTimedOut, isSkewed, outcomeOf, s3Failure, skewFailure } from './s3-errors.ts';

export interface BudgetLimits {
  readonly budgetMs: number;
  readonly attemptTimeoutMs: number;
}

const BYTES_PER_MS = (4 * 1024 * 1024) / 1000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2000;

/** With the SDK's correction the next attempt is right; two more, since answers to others may correct it meanwhile. */
const SKEW_RETRIES = 2;

/** The time that one call may take, its retries and their pauses included. Nothing in it can wait for ever. */
export class Budget {
  readonly doing: string;
  readonly #attemptMs: number;
  readonly #deadline: number;
  /** The caller's, and that of the store's end. */
  readonly #signals: readonly AbortSignal[];
  #pauses = 0;
  #skewed = 0;

  /** `bytes`: size of the body that the call carries. */
  constructor(limits: BudgetLimits, doing: string, bytes: number, signals: readonly AbortSignal[]) {
    this.doing = doing;
    this.#attemptMs = limits.attemptTimeoutMs + bytes / BYTES_PER_MS;
    this.#deadline = performance.now() + limits.budgetMs + bytes / BYTES_PER_MS;
    this.#signals = signals;
  }

  /** One attempt, ended by a signal, the attempt's time or the budget, even where `work` does not listen. */
  async attempt<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#throwIfAborted();
    const milliseconds = Math.max(1, Math.min(this.#attemptMs, this.#deadline - performance.now()));
    const controller = new AbortController();
    let end: (reason: unknown) => void = () => {};
    const ended = new Promise<never>((_, reject) => {
      end = (reason) => {
        reject(reason);
        controller.abort(reason);
      };
    });
    const timer = setTimeout(() => end(new AttemptTimedOut(milliseconds)), milliseconds);
    const onAbort = (event: Event) => end((event.target as AbortSignal).reason);
    for (const signal of this.#signals) signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([work(controller.signal), ended]);
    } finally {
      clearTimeout(timer);
      for (const signal of this.#signals) signal.removeEventListener('abort', onAbort);
      ended.catch(() => {});
    }
  }

  /**
   * Waits with full jitter before the next attempt, or throws `store_unavailable` where no time is left for one, and
   * `store_denied` where the store goes on refusing the clock.
   */
  async pause(cause: unknown): Promise<void> {
    this.#throwIfAborted();
    if (isSkewed(cause)) {
      this.#skewed += 1;
      if (this.#skewed > SKEW_RETRIES) throw skewFailure(this.doing, cause);
    }
    const milliseconds = Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#pauses);
    this.#pauses += 1;
    if (performance.now() + milliseconds >= this.#deadline) {
      throw new RetryableFailure(
        'store_unavailable',
        `gave up after ${this.#pauses} attempts within the time for ${this.doing}`,
        { cause },
      );
    }
    const signal = AbortSignal.any([...this.#signals]);
    await sleep(milliseconds, undefined, { signal }).catch(() => this.#throwIfAborted());
  }

  /** Attempts until one ends with anything but a transient error. Errors of other kinds come out as they are. */
  async retried<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await this.attempt(work);
      } catch (error) {
        this.#throwIfAborted();
        if (!isTransient(error)) throw error;
        await this.pause(error);
      }
    }
  }

  #throwIfAborted(): void {
    for (const signal of this.#signals) signal.throwIfAborted();
  }

  /** Like `retried`; errors come out as ours. */
  async named<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    try {
      return await this.retried(work);
    } catch (error) {
      this.#throwIfAborted();
      throw s3Failure(this.doing, error);
    }
  }
}

export function isTransient(error: unknown): boolean {
  return !(error instanceof JobError) && !(error instanceof PreconditionFailed) && outcomeOf(error) === 'transient';
}
