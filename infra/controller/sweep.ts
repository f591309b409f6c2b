import { type Clock, describeError, errorCode, hasEnded, type JobId, RetryableFailure } from '@longhaul/core/contracts';
import type { Ledger } from '@longhaul/core/ledger';
import { type Ring, ringOf } from '@longhaul/core/queue';
import { attribute, countSwept, spanName, type TracedJob, tellAbout, tellJobEnd } from '@longhaul/core/telemetry';
import { eachOf } from './each-of.ts';
import type { Log, Queues } from './ports.ts';
import type { Rate } from './rate.ts';
import { type Tended, tend } from './tend.ts';

/** Open jobs that were looked at, and what was done. */
export interface Swept {
  readonly open: number;
  readonly rung: number;
  readonly ended: number;
  readonly removed: number;
  /** Jobs that could not be looked at, each told in the log. */
  readonly failed: number;
}

export interface SweepParts {
  readonly ledger: Pick<Ledger, 'listOpen' | 'readSpec' | 'readHead' | 'endIfDue' | 'expire'>;
  readonly queues: Queues;
  readonly clock: Clock;
  readonly rate: Rate;
  readonly log: Log;
}

/** Jobs looked at side by side. */
const atOnce = 8;

/** Jobs whose model and ring are remembered, and jobs of one round that are known to be open: some MiB each. */
const mostRemembered = 50_000;

/** Every so many rounds look at what leaves no trace in a head. */
const thoroughEvery = 10;

/** What of a job's spec is wanted again. */
interface Asked {
  readonly model: string;
  readonly ring: Ring;
  readonly job: TracedJob;
}

/** What one round finds out about each model. */
interface Found {
  readonly models: Set<string>;
  readonly deadlines: Map<string, number>;
  /** When the job was made that has waited longest for its first worker, in milliseconds of the epoch. */
  readonly oldest: Map<string, number>;
}

/**
 * Reconciles queue and ledger, round by round: first every open job of the ledger, then every waiting message of the
 * queues whose job was not among them. Memory is bounded, whatever the number of jobs.
 */
export class Sweep {
  private readonly parts: SweepParts;
  private readonly asked = new Map<JobId, Asked>();
  private rounds = 0;
  private found: Found = nothingFound();

  constructor(parts: SweepParts) {
    this.parts = parts;
  }

  /** @throws RetryableFailure where store or queue are out of reach: the next round begins again */
  async round(signal: AbortSignal): Promise<Swept> {
    const { ledger, queues } = this.parts;
    const thorough = this.rounds % thoroughEvery === 0;
    this.rounds += 1;
    const swept = { open: 0, rung: 0, ended: 0, removed: 0, failed: 0 };
    const found = nothingFound();
    const open = new Set<JobId>();
    await eachOf(ledger.listOpen({ limit: Number.MAX_SAFE_INTEGER }), atOnce, async (jobId) => {
      swept.open += 1;
      if (open.size < mostRemembered) open.add(jobId);
      const done = await this.attempt(jobId, thorough, signal, found);
      if (done === null) swept.failed += 1;
      else if (done !== 'well') swept[done] += 1;
    });
    for (const model of queues.models()) swept.removed += await this.removeEnded(model, open, signal);
    await queues.keep(found.models);
    this.found = found;
    return swept;
  }

  /** The earliest deadline among the model's jobs that waited in the last round, in milliseconds of the epoch. */
  earliestDeadline(model: string): number | null {
    return this.found.deadlines.get(model) ?? null;
  }

  /** Seconds since the submit of the model's job that had waited longest in the last round for its first worker; 0 where none did. */
  oldestSeconds(model: string): number {
    const made = this.found.oldest.get(model);
    return made === undefined ? 0 : Math.max(0, this.parts.clock.date().getTime() - made) / 1000;
  }

  /** One job, at once: it came back from a lost worker. Null where it could not be looked at. */
  async tend(jobId: JobId, signal: AbortSignal): Promise<Tended | null> {
    return await this.attempt(jobId, true, signal, nothingFound(), 'reaped');
  }

  /** `before`: told of a job with which nothing is wrong any more; null: nothing is. */
  private async attempt(
    jobId: JobId,
    thorough: boolean,
    signal: AbortSignal,
    found: Found,
    before: 'reaped' | null = null,
  ): Promise<Tended | null> {
    const { ledger, queues, clock, rate, log } = this.parts;
    await rate.pass(signal);
    try {
      const { model, ring, job } = await this.askedBy(jobId);
      found.models.add(model);
      const now = clock.date();
      const { tended, deadline, head } = await tend(jobId, ring, { ledger, queue: queues.of(model), now, thorough });
      if (deadline !== null) earlier(found.deadlines, model, deadline);
      if (head.status === 'queued' && head.stats.attempts === 0) {
        earlier(found.oldest, model, Date.parse(job.createdAt));
      }
      if (tended !== 'well') {
        log('info', tended, { job: jobId, model });
        // At once: an outage may end the round before it is over.
        countSwept(tended);
      }
      const result = tended === 'well' ? before : tended;
      if (result === null) return tended;
      const attributes = { [attribute.result]: result };
      tellAbout(job, head.generation, spanName.tend, { from: now, to: clock.date(), attributes });
      tellJobEnd(job, head);
      return tended;
    } catch (error) {
      if (error instanceof RetryableFailure) throw error;
      // Damage to one job's objects must not keep the others from being looked at.
      log('warn', 'a job could not be looked at', { job: jobId, code: errorCode(error), reason: describeError(error) });
      countSwept('failed');
      return null;
    }
  }

  private async askedBy(jobId: JobId): Promise<Asked> {
    const known = this.asked.get(jobId);
    if (known !== undefined) return known;
    const spec = await this.parts.ledger.readSpec(jobId);
    const { createdAt, model, task, tenant, trace } = spec;
    const job = { jobId, createdAt, model, task: { kind: task.kind }, tenant, trace };
    const asked = { model, ring: ringOf(spec), job };
    const [oldest] = this.asked.keys();
    if (this.asked.size >= mostRemembered && oldest !== undefined) this.asked.delete(oldest);
    this.asked.set(jobId, asked);
    return asked;
  }

  /** Messages of jobs that have ended. One of a job that this ledger does not have may be another ledger's: it stays. */
  private async removeEnded(model: string, open: ReadonlySet<JobId>, signal: AbortSignal): Promise<number> {
    const { ledger, queues, rate, log } = this.parts;
    const queue = queues.of(model);
    let removed = 0;
    for await (const page of queue.waiting()) {
      for (const jobId of page) {
        if (open.has(jobId)) continue;
        await rate.pass(signal);
        const head = await ledger.readHead(jobId).catch((error: unknown) => {
          if (error instanceof RetryableFailure) throw error;
          return null;
        });
        if (head === null || !hasEnded(head.status) || !(await queue.remove(jobId))) continue;
        removed += 1;
        countSwept('removed');
        log('info', 'removed', { job: jobId, model, status: head.status });
      }
    }
    return removed;
  }
}

function nothingFound(): Found {
  return { models: new Set(), deadlines: new Map(), oldest: new Map() };
}

function earlier(of: Map<string, number>, model: string, moment: number): void {
  of.set(model, Math.min(moment, of.get(model) ?? moment));
}
