import { systemClock } from '@longhaul/core/contracts';

/** For signals that live as long as the process: the listener stays. */
export function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Whether the promise settles within the time. */
export async function within(promise: Promise<unknown>, seconds: number): Promise<boolean> {
  const timeout = new AbortController();
  const late = systemClock.sleep(seconds * 1000, timeout.signal).then(
    () => false,
    () => false,
  );
  const settled = promise.then(
    () => true,
    () => true,
  );
  const inTime = await Promise.race([settled, late]);
  timeout.abort();
  return inTime;
}
