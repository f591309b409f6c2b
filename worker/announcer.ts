import { type Clock, describeError, hasEnded, type JobId } from '@longhaul/core/contracts';
import type { Ledger } from '@longhaul/core/ledger';
import { type JobQueue, ringOf } from '@longhaul/core/queue';
import type { Log } from './ports.ts';

const retryMs = 1000;

/**
 * Makes a job known to the queue again whose lock was lost although nobody else took it: a Redis that came back without
 * its data knows nothing of it, and it would lie until somebody sweeps. Where the queue knows the job, this changes
 * nothing. Works beside the other jobs, and waits for Redis and the store as long as it takes.
 */
export class Announcer {
  private readonly parts: AnnouncerParts;
  private readonly closed = new AbortController();
  private readonly running = new Set<Promise<void>>();

  constructor(parts: AnnouncerParts) {
    this.parts = parts;
  }

  /** `epoch`: the one that we held. A newer one in the head is somebody's who has the job in hand. */
  announce(jobId: JobId, epoch: number): void {
    const run = this.untilKnown(jobId, epoch).finally(() => this.running.delete(run));
    this.running.add(run);
  }

  /** Ends the waiting; what is under way is still said. */
  async close(): Promise<void> {
    this.closed.abort();
    await Promise.all(this.running);
  }

  private async untilKnown(jobId: JobId, epoch: number): Promise<void> {
    const { clock, ledger, log, queue } = this.parts;
    for (;;) {
      try {
        const head = await ledger.readHead(jobId);
        if (head?.epoch !== epoch || hasEnded(head.status)) return;
        await queue.enqueue(jobId, ringOf(await ledger.readSpec(jobId)));
        log('info', 'job made known to the queue again', { job: jobId, epoch });
        return;
      } catch (error) {
        log('warn', 'job could not be made known to the queue', { job: jobId, reason: describeError(error) });
      }
      try {
        await clock.sleep(retryMs, this.closed.signal);
      } catch {
        return;
      }
    }
  }
}

export interface AnnouncerParts {
  readonly ledger: Pick<Ledger, 'readHead' | 'readSpec'>;
  readonly queue: Pick<JobQueue, 'enqueue'>;
  readonly clock: Clock;
  readonly log: Log;
}
