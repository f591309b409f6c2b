import { DelayedError, type Job, Queue, UnrecoverableError, WaitingError, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { describeError, RetryableFailure } from '../contracts/errors.ts';
import { JobId, ModelName } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import { announceOutages, commandTimeoutMs, connectRedis, redactUrl, unavailable } from '../redis/connection.ts';
import { type Lease, openLease } from './lease.ts';
import type { JobConsumer, JobHandler, JobQueue, QueueCounts, Settlement, TakenJob } from './port.ts';

/** All that a message says: the ledger knows the rest. */
const Message = z.strictObject({ jobId: JobId });

/** One hash tag for all keys, so that BullMQ's scripts run in one slot of a cluster. */
const prefix = '{longhaul}';

/** BullMQ runs lower numbers first and jobs without a number before all others, so every job gets one. */
const lowestPriority = 1001;
const priorityOf = (ours: number) => Math.min(Math.max(lowestPriority - ours, 1), 2_097_151);

/** Kept for people who look; the ledger is what counts. Ages in seconds. */
const keepDone = { age: 86_400, count: 1000 };
const keepFailed = { age: 604_800, count: 5000 };

/** How often a job may be retried or be found stalled before BullMQ gives it up: never, that is the ledger's to say. */
const unlimited = 1_000_000;

/** How long a closing consumer waits for Redis to take its last settlements. */
const lastWordsMs = 2000;

/** What a job waits after its handler threw, which none of ours does. */
const brokenHandlerDelayMs = 5000;

export interface QueueOptions {
  readonly url: string;
  /** Of the served model: each has its queue. */
  readonly model: string;
  readonly onNotice: (text: string) => void;
}

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

export interface ConsumerOptions extends QueueOptions {
  readonly concurrency: number;
  /** A job whose worker gave no sign for so long goes to another. */
  readonly lockMs: number;
  /** How often such jobs are looked for. */
  readonly stalledMs: number;
  /** Of the worker, for people. */
  readonly name: string;
  readonly handler: JobHandler;
}

export function openConsumer(options: ConsumerOptions): JobConsumer {
  return new BullConsumer(options);
}

class BullConsumer implements JobConsumer {
  private readonly options: ConsumerOptions;
  private readonly worker: Worker;
  private readonly redis: Redis;
  /** Ours and those that BullMQ makes from it. */
  private readonly connections: Redis[] = [];
  /** Handlers at work. */
  private readonly inHand = new Set<Promise<void>>();
  private readonly leases = new Set<Lease>();
  private pausing: Promise<void> | null = null;
  private closing: Promise<void> | null = null;

  constructor(options: ConsumerOptions) {
    this.options = options;
    this.redis = this.connect();
    this.worker = new Worker(ModelName.parse(options.model), (job, token) => this.handle(job, token ?? ''), {
      connection: this.redis,
      prefix,
      name: options.name,
      autorun: false,
      concurrency: options.concurrency,
      lockDuration: options.lockMs,
      // Our own renewals prove the lock; BullMQ's would only double them.
      skipLockRenewal: true,
      stalledInterval: options.stalledMs,
      maxStalledCount: unlimited,
      // Seconds that one wait for a job blocks: also how long a job may wait whose wake-up went to a pausing worker.
      drainDelay: 1,
      runRetryDelay: 500,
      removeOnComplete: keepDone,
      removeOnFail: keepFailed,
    });
    this.worker.on('error', (error) => this.onError(error));
  }

  async start(): Promise<void> {
    try {
      await this.worker.waitUntilReady();
    } catch (error) {
      if (this.closing === null) throw unavailable(this.options.url, 'connecting', error);
    }
    if (this.pausing !== null || this.closing !== null) return;
    // The loop retries by itself; it ends on close, or on a slip of ours that must not stay silent.
    void this.worker
      .run()
      .catch((error: unknown) => this.options.onNotice(`taking jobs ended: ${describeError(error)}`));
  }

  pause(): Promise<void> {
    this.pausing ??= this.worker.pause(true);
    return this.pausing;
  }

  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    await this.pause();
    while (this.inHand.size > 0) await Promise.all(this.inHand);
    // A settlement waits for Redis to come back, and BullMQ for its settlements, without end. What cannot be said now
    // the next taker finds in the ledger.
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, lastWordsMs);
    await Promise.race([this.worker.close(), late]);
    clearTimeout(timer);
    for (const lease of this.leases) lease.close();
    for (const connection of this.connections) connection.disconnect();
  }

  private connect(): Redis {
    const redis = connectRedis({ ...this.options, name: 'longhaul-worker', whileAway: 'wait' });
    const duplicate = redis.duplicate.bind(redis);
    redis.duplicate = (...args) => {
      const copy = duplicate(...args);
      // It breaks and heals together with the first one, which does the talking.
      announceOutages(copy, { ...this.options, name: 'longhaul-worker', onNotice: () => {} });
      this.connections.push(copy);
      return copy;
    };
    this.connections.push(redis);
    return redis;
  }

  private onError(error: Error): void {
    // A job that went to another meanwhile: the lease clock has told its handler, and the new owner settles it.
    if (/^(Missing lock|Lock mismatch) for job /.test(error.message)) return;
    // The connection itself tells its outages.
    if ('code' in error || /Connection is closed|Socket timeout/.test(error.message)) return;
    this.options.onNotice(`queue: ${describeError(error)}`);
  }

  private async handle(job: Job, token: string): Promise<void> {
    const message = Message.safeParse(job.data);
    if (!message.success) throw new UnrecoverableError(`not a message of ours: ${z.prettifyError(message.error)}`);
    // BullMQ's last wait for a job may end with one although no more are wanted.
    if (this.pausing !== null) return await this.settle(job, token, { kind: 'hand-back' });
    const { lockMs } = this.options;
    const lease = openLease({
      what: `job ${job.id}`,
      lockMs,
      takenAt: job.processedOn ?? Date.now(),
      extend: async () => (await job.extendLock(token, lockMs)) === 1,
    });
    this.leases.add(lease);
    try {
      await this.settle(job, token, await this.ask({ jobId: message.data.jobId, signal: lease.signal }));
    } finally {
      lease.close();
      this.leases.delete(lease);
    }
  }

  private async ask(taken: TakenJob): Promise<Settlement> {
    const settlement = this.options.handler(taken);
    const held = settlement.then(
      () => void this.inHand.delete(held),
      () => void this.inHand.delete(held),
    );
    this.inHand.add(held);
    try {
      return await settlement;
    } catch (error) {
      const reason = describeError(error);
      this.options.onNotice(`the handler of job ${taken.jobId} threw, which it must not: ${reason}`);
      return { kind: 'retry', delayMs: brokenHandlerDelayMs, reason };
    }
  }

  /** Resolving acknowledges; BullMQ's named errors tell its loop that the job was moved already. */
  private async settle(job: Job, token: string, settlement: Settlement): Promise<void> {
    switch (settlement.kind) {
      case 'done':
        return;
      case 'hand-back':
        // Unless taking has stopped, BullMQ's loop takes the same job again at once, and again.
        await this.pause();
        await this.moved(async () => {
          await job.moveToWait(token);
          // BullMQ forgets to wake those who wait when the job has a priority.
          await this.redis.zadd(this.worker.toKey('marker'), 0, '0');
        });
        throw new WaitingError();
      case 'retry':
        job.log(settlement.reason).catch(() => undefined);
        await this.moved(() => job.moveToDelayed(Date.now() + settlement.delayMs, token));
        throw new DelayedError();
      case 'quarantine':
        throw new UnrecoverableError(settlement.reason);
      case 'abandon':
        // Says nothing: a lock that is another's stays, and one that is still ours runs out and the job is found.
        throw new WaitingError();
    }
  }

  /** A lock that is gone means that the job is another's, who settles it. */
  private async moved(move: () => Promise<unknown>): Promise<void> {
    try {
      await move();
    } catch (error) {
      this.onError(error instanceof Error ? error : new Error(String(error)));
    }
  }
}
