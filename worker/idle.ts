import type { Clock } from '@longhaul/core/contracts';

export interface Idleness {
  /** Milliseconds without a job in hand; 0 while there is one. */
  readonly idleMs: () => number;
  readonly limitMs: number;
  readonly clock: Clock;
}

/** Resolves to true once nothing has been in hand for so long, to false where the signal aborts first. */
export async function untilIdle({ idleMs, limitMs, clock }: Idleness, signal: AbortSignal): Promise<boolean> {
  while (!signal.aborted) {
    const left = limitMs - idleMs();
    if (left <= 0) return true;
    await clock.sleep(left, signal).catch(() => undefined);
  }
  return false;
}
