import type { Clock } from '@longhaul/core/contracts';
import type { SystemTime } from '../../core/queue/lease.ts';
import type { Process, Scheduler } from './scheduler.ts';

const EPOCH = Date.UTC(2026, 0, 1);

export function dateAt(virtualMs: number): Date {
  return new Date(EPOCH + Math.floor(virtualMs));
}

/** The clock of one process: monotonic time is true, the date is as far off as its machine's. */
export function clockOf(scheduler: Scheduler, process: Process): Clock {
  return {
    now: () => scheduler.now,
    date: () => dateAt(scheduler.now + process.dateOffset),
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const give = () => {
          cancel();
          reject(signal.reason);
        };
        const cancel = scheduler.after(ms, process, '', () => {
          signal.removeEventListener('abort', give);
          resolve();
        });
        signal.addEventListener('abort', give, { once: true });
      }),
  };
}

/** The same for the lease clock. */
export function leaseTimeOf(scheduler: Scheduler, process: Process): SystemTime {
  return {
    now: () => scheduler.now,
    date: () => EPOCH + Math.floor(scheduler.now + process.dateOffset),
    after: (ms, wake) => scheduler.after(ms, process, '', wake),
  };
}
