import { monitorEventLoopDelay } from 'node:perf_hooks';
import { observeLoopDelay } from '@longhaul/core/telemetry';
import type { Log } from '../ports.ts';

const resolutionMs = 10;

/** How much later than asked the event loop ran its timers. */
export interface LoopDelay {
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface LoopDelayWatch {
  /** Since the start, or the last reset. */
  read(): LoopDelay;
  reset(): void;
  stop(): void;
}

export function watchLoopDelay(): LoopDelayWatch {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  histogram.enable();
  // The histogram holds whole intervals, the asked one included.
  const late = (nanoseconds: number) => Math.max(0, Math.round(nanoseconds / 1e5) / 10 - resolutionMs);
  return {
    read: () =>
      histogram.count === 0
        ? { p99Ms: 0, maxMs: 0 }
        : { p99Ms: late(histogram.percentile(99)), maxMs: late(histogram.max) },
    reset: () => histogram.reset(),
    stop: () => histogram.disable(),
  };
}

/** Milliseconds of a window that a gauge tells of: several readers may ask, and none empties it for the others. */
const windowMs = 15_000;

/** The p99 over the window before this one, or over this one where it is worse, in seconds. */
function windowed(watch: LoopDelayWatch, now: () => number): () => number {
  let before = 0;
  let since = now();
  return () => {
    const { p99Ms } = watch.read();
    const told = Math.max(before, p99Ms) / 1000;
    if (now() - since >= windowMs) {
      before = p99Ms;
      since = now();
      watch.reset();
    }
    return told;
  };
}

/**
 * Tells the operator how the event loop fared: a gauge (p99 of the last seconds), and a line at the end of each
 * attempt with the delay meanwhile.
 */
export function timed<Job extends { readonly jobId: string }, End extends { readonly kind: string }>(
  handle: (job: Job) => Promise<End>,
  log: Log,
): (job: Job) => Promise<End> {
  observeLoopDelay(windowed(watchLoopDelay(), () => performance.now()));
  return async (job) => {
    const watch = watchLoopDelay();
    try {
      return await handle(job);
    } finally {
      const { p99Ms, maxMs } = watch.read();
      watch.stop();
      log('info', 'attempt over', { job: job.jobId, loopDelayP99Ms: p99Ms, loopDelayMaxMs: maxMs });
    }
  };
}
