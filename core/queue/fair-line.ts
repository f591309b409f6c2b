import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { JobId, Tenant } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import { keepDone, keepFailed, Message, unlimited } from './bull.ts';
import { type FairRedis, withFairScripts } from './fair-scripts.ts';
import type { Ring } from './port.ts';

/** BullMQ runs lower numbers first and jobs without a number before all others, so every job gets one. */
const lowestPriority = 1001;
const priorityOf = (ours: number) => Math.min(Math.max(lowestPriority - ours, 1), 2_097_151);

/** Jobs that stand where workers look, ahead of the line: with one, the next is always there, and nobody waits behind two. */
const mostReady = 1;

/** A job on its way out for longer was left by a process that died: it goes again. */
const leavingMs = 2000;

/** Jobs of one page. */
const pageJobs = 256;

const StoredRing = z.strictObject({
  tenant: Tenant,
  seconds: z.number().nonnegative(),
  priority: z.number().int().nonnegative(),
});

export interface Census {
  readonly inLine: number;
  readonly wait: number;
  readonly prioritized: number;
  readonly active: number;
  readonly delayed: number;
  readonly failed: number;
}

/**
 * The line in front of BullMQ's queue, fair between tenants by estimated seconds of work, not by their number of jobs:
 *
 *   join ──▶ a line for each tenant, by priority ── the tenant served least goes first ──▶ leaving ──▶ BullMQ ──▶ left
 *
 * Each tenant has a clock that runs ahead by the seconds of every job that leaves its line. A tenant that comes back from
 * idling begins at the time of the job that left last: rest earns no credit. Whoever joins or takes a job lets the next one
 * out, so no process is in charge; one that dies between the line and BullMQ leaves a job that goes again.
 */
export class FairLine {
  private readonly redis: FairRedis;
  private readonly queue: Queue;
  private readonly key: (name: string) => string;
  private releasing: Promise<void> | null = null;
  private again = false;

  constructor(redis: Redis, queue: Queue) {
    this.redis = withFairScripts(redis);
    this.queue = queue;
    this.key = (name) => queue.toKey(`fair:${name}`);
  }

  async join(jobId: JobId, ring: Ring): Promise<void> {
    const { tenant, priority } = ring;
    const keys = ['jobs', 'tenants', 'clocks', 'came', 'floor', `line:${tenant}`].map(this.key);
    await this.redis.longhaulFairJoin(...keys, jobId, tenant, JSON.stringify(StoredRing.parse(ring)), priority);
    await this.release();
  }

  /** Lets jobs out while too few stand ready. Calls that come while one is under way share the next one. */
  release(): Promise<void> {
    if (this.releasing !== null) {
      this.again = true;
      return this.releasing;
    }
    this.releasing = this.releaseAll().finally(() => {
      this.releasing = null;
    });
    return this.releasing;
  }

  private async releaseAll(): Promise<void> {
    do {
      this.again = false;
      const keys = ['jobs', 'tenants', 'clocks', 'floor', 'leaving'].map(this.key);
      const bull = [this.queue.toKey('wait'), this.queue.toKey('prioritized')];
      const out = await this.redis.longhaulFairLeave(...keys, ...bull, mostReady, leavingMs, this.key('line:'));
      for (let i = 0; i + 1 < out.length; i += 2) await this.hand(out[i]!, out[i + 1]!);
    } while (this.again);
  }

  private async hand(jobId: JobId, text: string): Promise<void> {
    const ring = ringIn(text);
    // What no version of ours wrote must not hold up those behind it: the job is in the ledger, and the sweep rings it again.
    if (ring === null) return await this.left(jobId);
    const { tenant, seconds, priority } = ring;
    // A finished message under this id would swallow the new one, also where the ledger has the job unfinished; so
    // would what is left of one that no list holds any more.
    const state = await this.queue.getJobState(jobId);
    if (state === 'completed' || state === 'failed' || state === 'unknown') await this.queue.remove(jobId);
    await this.queue.add('job', Message.parse({ jobId, tenant, seconds }), {
      jobId,
      priority: priorityOf(priority),
      attempts: unlimited,
      backoff: { type: 'exponential', delay: 1000, jitter: 0.5 },
      sizeLimit: limits.queueMessageBytes,
      removeOnComplete: keepDone,
      removeOnFail: keepFailed,
    });
    await this.left(jobId);
  }

  private async left(jobId: JobId): Promise<void> {
    await this.redis.longhaulFairLeft(this.key('jobs'), this.key('leaving'), jobId);
  }

  /** A job took more, or less, than was thought when it left the line. */
  async charge(tenant: string, seconds: number): Promise<void> {
    if (seconds !== 0) await this.redis.longhaulFairCharge(this.key('tenants'), this.key('clocks'), tenant, seconds);
  }

  /** Also while it is on its way to BullMQ. */
  async has(jobId: JobId): Promise<boolean> {
    return (await this.redis.hexists(this.key('jobs'), jobId)) === 1;
  }

  /** Takes a job out of its line; false where it does not stand in one. */
  async quit(jobId: JobId): Promise<boolean> {
    const text = await this.redis.hget(this.key('jobs'), jobId);
    if (text === null) return false;
    const tenant = ringIn(text)?.tenant;
    if (tenant === undefined) return false;
    const keys = ['jobs', 'tenants', 'leaving', `line:${tenant}`].map(this.key);
    return (await this.redis.longhaulFairQuit(...keys, jobId, tenant)) === 1;
  }

  /** Jobs in the line and in BullMQ's places, at one moment, each once. */
  async census(): Promise<Census> {
    const ours = ['jobs', 'leaving'].map(this.key);
    const bull = ['wait', 'prioritized', 'active', 'delayed', 'failed'].map((name) => this.queue.toKey(name));
    const [inLine, wait, prioritized, active, delayed, failed] = await this.redis.longhaulFairCensus(...ours, ...bull);
    return { inLine, wait, prioritized, active, delayed, failed };
  }

  /** Ids of the jobs in the line, a page at a time; some may come twice. */
  async *pages(): AsyncGenerator<readonly JobId[], void> {
    for (let cursor = '0'; ; ) {
      const [next, found] = await this.redis.hscan(this.key('jobs'), cursor, 'COUNT', pageJobs);
      const ids = found.filter((_, i) => i % 2 === 0).filter((id) => JobId.safeParse(id).success);
      if (ids.length > 0) yield ids;
      if (next === '0') return;
      cursor = next;
    }
  }
}

/** Null for what is no ring. */
function ringIn(text: string): Ring | null {
  try {
    return StoredRing.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
