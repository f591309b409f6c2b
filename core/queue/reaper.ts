import { Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { describeError } from '../contracts/errors.ts';
import { JobId, ModelName } from '../contracts/job.ts';
import { hangUp } from '../redis/connection.ts';
import { connectForWorker, isOutage, prefix, type QueueOptions, unlimited } from './bull.ts';

export interface ReaperOptions extends QueueOptions {
  /** How often lost jobs are looked for; the same for all reapers and workers of a queue, who share the work. */
  readonly stalledMs: number;
  /** A job of a lost worker waits again. */
  readonly onReaped: (jobId: JobId) => void;
}

export interface QueueReaper {
  readonly model: string;
  close(): Promise<void>;
}

/** How long a closing reaper waits for Redis. */
const lastWordsMs = 1000;

/**
 * Brings back the jobs of workers that are gone, also where no worker is left to look: BullMQ looks for them inside its
 * Workers only, so this is one that never takes a job. A job whose lock has run out waits again after two looks.
 */
export function openReaper(options: ReaperOptions): QueueReaper {
  return new BullReaper(options);
}

class BullReaper implements QueueReaper {
  readonly model: string;
  private readonly worker: Worker;
  private readonly connections: Redis[] = [];
  private closing: Promise<void> | null = null;

  constructor(options: ReaperOptions) {
    this.model = ModelName.parse(options.model);
    this.worker = new Worker(this.model, undefined, {
      connection: connectForWorker({ ...options, name: 'longhaul-reaper' }, this.connections),
      prefix,
      name: 'reaper',
      autorun: false,
      stalledInterval: options.stalledMs,
      // A job over BullMQ's limit would wait to be failed by a worker; whether it is poison stands in the ledger.
      maxStalledCount: unlimited,
    });
    this.worker.on('stalled', (jobId) => {
      const ours = JobId.safeParse(jobId);
      if (ours.success) options.onReaped(ours.data);
    });
    this.worker.on('error', (error) => {
      if (!isOutage(error) && this.closing === null) options.onNotice(`reaper: ${describeError(error)}`);
    });
    // It retries by itself while Redis is away, until it is closed.
    void this.worker.startStalledCheckTimer();
  }

  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, lastWordsMs);
    await Promise.race([this.worker.close(true), late]);
    clearTimeout(timer);
    for (const connection of this.connections) hangUp(connection);
  }
}
