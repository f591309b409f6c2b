import { ApiFailure } from './api.js';
import { pause } from './follow.js';

const longestMs = 30_000;

/**
 * Asks again and again until the signal aborts, one question at a time, and not while nobody looks. A server that is slow
 * is asked less often. `onTrouble(null)` says that all is well again.
 */
export async function poll(question, everyMs, { onTrouble, signal }) {
  let failures = 0;
  while (!signal.aborted) {
    if (document.visibilityState === 'hidden') {
      await shown(signal);
      continue;
    }
    const began = performance.now();
    let waitMs = everyMs;
    try {
      await question();
      if (signal.aborted) return;
      failures = 0;
      onTrouble(null);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiFailure && error.status === 401) throw error;
      failures += 1;
      onTrouble(error);
      waitMs = Math.max(everyMs * 2 ** Math.min(failures, 5), 1000 * (error.retryAfterSeconds ?? 0));
    }
    await pause(Math.min(longestMs, Math.max(waitMs, 4 * (performance.now() - began))), signal);
  }
}

function shown(signal) {
  return new Promise((resolve) => {
    const end = () => {
      document.removeEventListener('visibilitychange', end);
      signal.removeEventListener('abort', end);
      resolve();
    };
    document.addEventListener('visibilitychange', end);
    signal.addEventListener('abort', end);
  });
}
