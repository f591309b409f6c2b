import { setTimeout as delay } from 'node:timers/promises';
import { DelayedError, type Job, Queue, UnrecoverableError, WaitingError, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { describeError } from '../contracts/errors.ts';
import { ModelName } from '../contracts/job.ts';
import { hangUp, unavailable } from '../redis/connection.ts';
import {
  connectForWorker,
  delayedScoreScale,
  isOutage,
  keepDone,
  keepFailed,
  Message,
  prefix,
  type QueueOptions,
  unlimited,
} from './bull.ts';
import { FairLine } from './fair-line.ts';
import { type Lease, openLease } from './lease.ts';
import type { JobConsumer, JobHandler, Settlement, TakenJob } from './port.ts';

/** How long a closing consumer waits for Redis to take its last settlements. */
const lastWordsMs = 2000;

/** How often the line is looked at although nothing happened. */
const lookMs = 1000;

/** What a job waits after its handler threw, which none of ours does. */
const brokenHandlerDelayMs = 5000;

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
  private readonly line: FairLine;
  /** Looks at the line although nothing happened: whoever should have let the next job out may have died. */
  private readonly look: NodeJS.Timeout;
  /** When jobs that were put off may be taken again, in monotonic ms. */
  private readonly notBefore = new Map<string, number>();
  private readonly paused = new AbortController();
  private pausing: Promise<void> | null = null;
  private closing: Promise<void> | null = null;

  constructor(options: ConsumerOptions) {
    this.options = options;
    this.redis = connectForWorker({ ...options, name: 'longhaul-worker' }, this.connections);
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
    const queue = new Queue(ModelName.parse(options.model), {
      connection: this.redis,
      prefix,
      streams: { events: { maxLen: 1000 } },
      skipVersionCheck: true,
    });
    queue.on('error', () => {});
    this.line = new FairLine(this.redis, queue);
    this.look = setInterval(() => this.letNextOut(), lookMs).unref();
  }

  /** While Redis is away the one call waits for it, and others share it. */
  private letNextOut(): void {
    if (this.pausing === null && this.redis.status === 'ready') this.line.release().catch(() => undefined);
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
    clearInterval(this.look);
    this.paused.abort();
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
    for (const connection of this.connections) hangUp(connection);
  }

  private onError(error: Error): void {
    // A job that went to another meanwhile: the lease clock has told its handler, and the new owner settles it.
    if (/^(Missing lock|Lock mismatch) for job /.test(error.message)) return;
    // The connection itself tells its outages.
    if (isOutage(error)) return;
    this.options.onNotice(`queue: ${describeError(error)}`);
  }

  private async handle(job: Job, token: string): Promise<void> {
    const message = Message.safeParse(job.data);
    if (!message.success) throw new UnrecoverableError(`not a message of ours: ${z.prettifyError(message.error)}`);
    // BullMQ's last wait for a job may end with one although no more are wanted.
    if (this.pausing !== null) return await this.settle(job, token, { kind: 'hand-back' });
    const { lockMs } = this.options;
    const extend = async () => (await job.extendLock(token, lockMs)) === 1;
    // BullMQ tells by a date when the lock was taken, and dates jump; the time of a request of our own is monotonic.
    const sentAt = performance.now();
    if (!(await extend().catch(() => false))) return await this.settle(job, token, { kind: 'abandon' });
    const takenAt = Date.now() - (performance.now() - sentAt);
    const lease = openLease({ what: `job ${job.id}`, lockMs, takenAt, extend });
    this.leases.add(lease);
    this.letNextOut();
    try {
      await this.restOfDelay(job, lease);
      if (this.pausing !== null) return await this.settle(job, token, { kind: 'hand-back' });
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
        if (settlement.seconds !== null) this.chargeRest(job, settlement.seconds);
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
        await this.moved(() => this.delay(job, token, settlement.delayMs));
        throw new DelayedError();
      case 'quarantine':
        throw new UnrecoverableError(settlement.reason);
      case 'abandon':
        // Says nothing: a lock that is another's stays, and one that is still ours runs out and the job is found.
        throw new WaitingError();
    }
  }

  private chargeRest(job: Job, seconds: number): void {
    const { data: message } = Message.safeParse(job.data);
    if (message?.tenant == null) return;
    this.line.charge(message.tenant, seconds - message.seconds).catch(() => undefined);
  }

  /**
   * BullMQ begins and ends a delay by the clock of whoever does it, and that clock may be hours off. So the delay is made to
   * stand by Redis' clock, and while this worker lives it ends it by monotonic time: neither later (`promote`) nor earlier
   * (`notBefore`).
   */
  private async delay(job: Job, token: string, delayMs: number): Promise<void> {
    const [seconds, micros] = await this.redis.time();
    const until = Number(seconds) * 1000 + Math.ceil(Number(micros) / 1000) + delayMs;
    await job.moveToDelayed(until, token);
    // A clock that runs ahead put it off to its own now.
    await this.redis.zadd(this.worker.toKey('delayed'), 'XX', until * delayedScoreScale, job.id ?? '');
    const jobId = job.id ?? '';
    this.notBefore.set(jobId, performance.now() + delayMs);
    const end = () => {
      this.notBefore.delete(jobId);
      // It may be in somebody's hand, or gone, by now.
      job.promote().catch(() => undefined);
    };
    setTimeout(end, delayMs).unref();
  }

  /** Where this machine's clock runs ahead, a job that was put off comes back at once: the rest of the delay. */
  private async restOfDelay(job: Job, lease: Lease): Promise<void> {
    const ms = (this.notBefore.get(job.id ?? '') ?? 0) - performance.now();
    if (ms > 0)
      await delay(ms, undefined, { signal: AbortSignal.any([lease.signal, this.paused.signal]) }).catch(() => {});
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
