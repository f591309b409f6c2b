import { type Clock, describeError, hasEnded } from '@longhaul/core/contracts';
import type { Ledger } from '@longhaul/core/ledger';
import type { JobQueue } from '@longhaul/core/queue';
import { within } from '../within.ts';

export interface DoorbellOptions {
  readonly ledger: Ledger;
  readonly queue: JobQueue;
  readonly model: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly everyMs: number;
  readonly onNotice: (text: string) => void;
}

/** Jobs looked at in one round; the newest first. */
const mostJobs = 1000;

/**
 * Tells the queue of every job in the ledger that has not ended: one submitted while Redis was away, or one that Redis
 * forgot. Telling again of a job that is waiting or running changes nothing.
 */
export async function ringDoorbell(options: DoorbellOptions): Promise<void> {
  const { clock, signal } = options;
  // What has ended stays ended, so each job is read once after its end.
  const done = new Set<string>();
  let failing = false;
  while (!signal.aborted) {
    try {
      await round(options, done);
      failing = false;
    } catch (error) {
      if (!failing && !signal.aborted)
        options.onNotice(`unfinished jobs could not be looked for: ${describeError(error)}`);
      failing = true;
    }
    await clock.sleep(options.everyMs, signal).catch(() => undefined);
  }
}

async function round({ ledger, queue, model, signal }: DoorbellOptions, done: Set<string>): Promise<void> {
  for (const jobId of await ledger.listJobs({ limit: mostJobs })) {
    if (signal.aborted) return;
    if (done.has(jobId)) continue;
    const head = await ledger.readHead(jobId);
    if (head !== null && hasEnded(head.status)) {
      done.add(jobId);
      continue;
    }
    const spec = await ledger.readSpec(jobId);
    if (spec.model === model) {
      await within(3000, queue.enqueue(jobId, { priority: spec.priority }), 'telling the queue');
    }
  }
}
