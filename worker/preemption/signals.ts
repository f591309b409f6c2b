import type { PreemptionNotice, PreemptionSource } from './port.ts';

/** Calls back at each signal; the returned function undoes it. */
export type OnSignal = (listener: (signal: string) => void) => () => void;

/** SIGTERM and SIGINT. A second one ends no flush: it is a notice like the first, and told. */
export function signalSource(onSignal: OnSignal): PreemptionSource {
  return {
    name: 'signal',
    async *watch(signal) {
      const waiting: string[] = [];
      let wake = Promise.withResolvers<void>();
      const stop = () => wake.resolve();
      const undo = onSignal((name) => {
        waiting.push(name);
        wake.resolve();
      });
      signal.addEventListener('abort', stop, { once: true });
      try {
        while (!signal.aborted) {
          await wake.promise;
          wake = Promise.withResolvers();
          for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) yield leave(name);
        }
      } finally {
        signal.removeEventListener('abort', stop);
        undo();
      }
    },
  };
}

function leave(what: string): PreemptionNotice {
  return { action: 'leave', what, deadline: null };
}
