import { describeError, errorCode, systemClock } from '@longhaul/core/contracts';
import { type ObjectStore, probeStore } from '@longhaul/core/ledger';
import type { Log } from '../ports.ts';

/** Milliseconds without an answer of the store after which the log says so. */
const storeSlowMs = 3000;

/** Proves the store before a job is taken; waits while it is away or full. False where the worker is stopped first. */
export async function storeReady(store: ObjectStore, log: Log, signal: AbortSignal): Promise<boolean> {
  const waiting = (reason: string) => log('warn', 'waiting for the store', { store: store.url, reason });
  while (!signal.aborted) {
    const slow = setTimeout(() => waiting('no answer yet'), storeSlowMs);
    try {
      await probeStore(store);
      return true;
    } catch (error) {
      if (!['store_unavailable', 'store_full'].includes(errorCode(error))) throw error;
      waiting(describeError(error));
      await systemClock.sleep(1000, signal).catch(() => undefined);
    } finally {
      clearTimeout(slow);
    }
  }
  return false;
}
