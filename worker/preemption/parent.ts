import type { Readable } from 'node:stream';
import type { PreemptionSource } from './port.ts';

/** The pipe to the process that started us: at its end that process is gone, and nobody waits for this one. */
export function parentSource(pipe: Readable): PreemptionSource {
  return {
    name: 'parent',
    async *watch(signal) {
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const gone = () => resolve(true);
      const stop = () => resolve(false);
      pipe.on('end', gone).on('error', gone).on('close', gone);
      signal.addEventListener('abort', stop, { once: true });
      pipe.resume();
      if (!signal.aborted && (await promise))
        yield { action: 'leave', what: 'the parent process is gone', deadline: null };
    },
  };
}
