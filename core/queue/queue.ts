import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { RetryableFailure } from '../contracts/errors.ts';
import { JobId, ModelName } from '../contracts/job.ts';
import { commandTimeoutMs, connectRedis, hangUp, redactUrl, unavailable } from '../redis/connection.ts';
import { delayedScoreScale, prefix, type QueueOptions } from './bull.ts';
import { FairLine } from './fair-line.ts';
import type { JobQueue, QueueCensus, QueueCounts, QueueDemand, Ring, Whereabouts } from './port.ts';

/** How long a closing queue waits for Redis. */
const lastWordsMs = 1000;

/** Jobs of one page. */
const pageJobs = 256;

/** A delayed job counts as demand this long before it is due: a worker takes that long to come. */
const dueWithinMs = 60_000;

/** Errors of every call: `queue_unavailable` where Redis does not answer within five seconds. */
export function openQueue(options: QueueOptions): JobQueue & QueueCensus {
  return new BullQueue(options);
}

class BullQueue implements JobQueue, QueueCensus {
  private readonly options: QueueOptions;
  private readonly redis: Redis;
  private readonly queue: Queue;
  private readonly line: FairLine;

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
    this.line = new FairLine(this.redis, this.queue);
    // The connection tells its own outages, and calls that fail tell theirs.
    this.queue.on('error', () => {});
  }

  async enqueue(jobId: JobId, ring: Ring): Promise<void> {
    await this.ask(`enqueueing ${jobId}`, async () => {
      const state = await this.queue.getJobState(jobId);
      if (state === 'completed' || state === 'failed' || state === 'unknown') await this.line.join(jobId, ring);
      else await this.line.release();
    });
  }

  async counts(): Promise<QueueCounts> {
    const { inLine, wait, prioritized, active, delayed, failed } = await this.ask('counting jobs', () =>
      this.line.census(),
    );
    return { waiting: inLine + wait + prioritized, active, delayed, failed };
  }

  async remove(jobId: JobId): Promise<boolean> {
    return await this.ask(`removing ${jobId}`, async () => {
      if (await this.line.quit(jobId)) return true;
      const state = await this.queue.getJobState(jobId);
      if (!['waiting', 'prioritized', 'delayed'].includes(state)) return false;
      // BullMQ refuses to remove a job that somebody took in the meantime.
      return (await this.queue.remove(jobId)) === 1;
    });
  }

  async whereabouts(jobIds: readonly JobId[]): Promise<readonly Whereabouts[]> {
    const found: Whereabouts[] = [];
    for (let i = 0; i < jobIds.length; i += pageJobs) {
      const page = jobIds.slice(i, i + pageJobs);
      found.push(...(await this.ask('looking for jobs', () => Promise.all(page.map((jobId) => this.whereIs(jobId))))));
    }
    return found;
  }

  async *waiting(): AsyncGenerator<readonly JobId[], void> {
    for (const pages = this.line.pages(); ; ) {
      const page = await this.ask('listing jobs', () => pages.next());
      if (page.done) break;
      yield page.value;
    }
    for (const state of ['wait', 'prioritized', 'delayed'] as const) {
      for (let from = 0; ; from += pageJobs) {
        const ids = await this.ask('listing jobs', () => this.queue.getRanges([state], from, from + pageJobs - 1));
        const ours = ids.filter((id) => JobId.safeParse(id).success);
        if (ours.length > 0) yield ours;
        if (ids.length < pageJobs) break;
      }
    }
  }

  async demand(): Promise<QueueDemand> {
    return await this.ask('counting the demand', async () => {
      const dueBefore = (Date.now() + dueWithinMs) * delayedScoreScale;
      const [census, delayedDue, active] = await Promise.all([
        this.line.census(),
        this.redis.zcount(this.queue.toKey('delayed'), '-inf', dueBefore),
        this.queue.getRanges(['active'], 0, -1),
      ]);
      const places = await Promise.all(active.map((jobId) => this.lockOf(jobId)));
      return {
        waiting: census.wait,
        prioritized: census.prioritized + census.inLine,
        delayedDue,
        delayedLater: Math.max(0, census.delayed - delayedDue),
        held: places.filter((place) => place === 'held').length,
        orphaned: places.filter((place) => place === 'orphaned').length,
      };
    });
  }

  private async whereIs(jobId: JobId): Promise<Whereabouts> {
    // Before BullMQ: a job stands in the line until BullMQ has it.
    if (await this.line.has(jobId)) return 'waiting';
    switch (await this.queue.getJobState(jobId)) {
      case 'waiting':
      case 'prioritized':
      case 'delayed':
        return 'waiting';
      case 'active':
        return await this.lockOf(jobId);
      default:
        return 'absent';
    }
  }

  /** Of a job that was active a moment ago: without a lock it is orphaned if it is active still, else somewhere else. */
  private async lockOf(jobId: JobId): Promise<Whereabouts> {
    if ((await this.redis.exists(`${this.queue.toKey(jobId)}:lock`)) === 1) return 'held';
    const state = await this.queue.getJobState(jobId);
    if (state === 'active') return 'orphaned';
    return state === 'completed' || state === 'failed' || state === 'unknown' ? 'absent' : 'waiting';
  }

  async close(): Promise<void> {
    hangUp(this.redis);
    // BullMQ waits without end for a Redis that is away.
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, lastWordsMs);
    await Promise.race([this.queue.close().catch(() => undefined), late]);
    clearTimeout(timer);
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
