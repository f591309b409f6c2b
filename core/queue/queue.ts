import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { RetryableFailure } from '../contracts/errors.ts';
import { type JobId, ModelName } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import { commandTimeoutMs, connectRedis, redactUrl, unavailable } from '../redis/connection.ts';
import { keepDone, keepFailed, Message, prefix, type QueueOptions, unlimited } from './bull.ts';
import type { JobQueue, QueueCounts } from './port.ts';

/** BullMQ runs lower numbers first and jobs without a number before all others, so every job gets one. */
const lowestPriority = 1001;
const priorityOf = (ours: number) => Math.min(Math.max(lowestPriority - ours, 1), 2_097_151);

/** Errors of every call: `queue_unavailable` where Redis does not answer within five seconds. */
export function openQueue(options: QueueOptions): JobQueue {
  return new BullQueue(options);
}

class BullQueue implements JobQueue {
  private readonly options: QueueOptions;
  private readonly redis: Redis;
  private readonly queue: Queue;

  constructor(options: QueueOptions) {
    this.options = options;
    this.redis = connectRedis({ ...options, name: 'longhaul-queue', whileAway: 'fail' });
    this.queue = new Queue(ModelName.parse(options.model), {
      connection: this.redis,
      prefix,
      streams: { events: { maxLen: 1000 } },
      // BullMQ asks for the version once, and a queue whose question was cut off would fail for ever.
      skipVersionCheck: true,
    });
    // The connection tells its own outages, and calls that fail tell theirs.
    this.queue.on('error', () => {});
  }

  async enqueue(jobId: JobId, { priority }: { readonly priority: number }): Promise<void> {
    await this.ask(`enqueueing ${jobId}`, async () => {
      // A finished message under this id would swallow the new one, also where the ledger has the job unfinished.
      const state = await this.queue.getJobState(jobId);
      if (state === 'completed' || state === 'failed') await this.queue.remove(jobId);
      await this.queue.add('job', Message.parse({ jobId }), {
        jobId,
        priority: priorityOf(priority),
        attempts: unlimited,
        backoff: { type: 'exponential', delay: 1000, jitter: 0.5 },
        sizeLimit: limits.queueMessageBytes,
        removeOnComplete: keepDone,
        removeOnFail: keepFailed,
      });
    });
  }

  async counts(): Promise<QueueCounts> {
    const states = ['wait', 'prioritized', 'active', 'delayed', 'failed'] as const;
    const found = await this.ask('counting jobs', () => this.queue.getJobCounts(...states));
    const of = (...names: (typeof states)[number][]) => names.reduce((sum, name) => sum + (found[name] ?? 0), 0);
    return {
      waiting: of('wait', 'prioritized'),
      active: of('active'),
      delayed: of('delayed'),
      failed: of('failed'),
    };
  }

  async remove(jobId: JobId): Promise<boolean> {
    return await this.ask(`removing ${jobId}`, async () => {
      const state = await this.queue.getJobState(jobId);
      if (!['waiting', 'prioritized', 'delayed'].includes(state)) return false;
      // BullMQ refuses to remove a job that somebody took in the meantime.
      return (await this.queue.remove(jobId)) === 1;
    });
  }

  async close(): Promise<void> {
    this.redis.disconnect();
    await this.queue.close().catch(() => undefined);
  }

  /** BullMQ waits for a connection without end; people do not. */
  private async ask<T>(doing: string, command: () => Promise<T>): Promise<T> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => reject(new RetryableFailure('queue_unavailable', `no answer within ${commandTimeoutMs} ms`)),
      commandTimeoutMs,
    );
    try {
      return await Promise.race([command(), late]);
    } catch (error) {
      if (error instanceof RetryableFailure) {
        throw new RetryableFailure('queue_unavailable', `Redis at ${redactUrl(this.options.url)} failed ${doing}`, {
          cause: error,
        });
      }
      throw unavailable(this.options.url, doing, error);
    } finally {
      clearTimeout(timer);
    }
  }
}
