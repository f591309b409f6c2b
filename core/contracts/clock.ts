import { setTimeout as delay } from 'node:timers/promises';

/** Time as an argument, so that logic with waits in it is tested without waiting. */
export interface Clock {
  /** Milliseconds, monotonic. */
  now(): number;
  date(): Date;
  /** Rejects with the signal's reason when it aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => new Date(),
  sleep: async (ms, signal) => {
    try {
      await delay(ms, undefined, { signal });
    } catch {
      throw signal.reason;
    }
  },
};
