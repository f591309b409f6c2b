import {
  type Clock,
  describeError,
  type ErrorCode,
  type Failure,
  FatalFailure,
  type Head,
  type JobError,
  type JobId,
  type JobResult,
  type JobSpec,
  type LiveEvent,
  RetryableFailure,
} from '@longhaul/core/contracts';
import type { Lease, Ledger } from '@longhaul/core/ledger';
import { type Settlement, type TakenJob, takenSeconds } from '@longhaul/core/queue';
import type { LiveStream } from '@longhaul/core/stream';
import {
  countLeaseLost,
  countSettled,
  inAttempt,
  jobAttributes,
  modelAttributes,
  type Outcome,
  tellAttempt,
  tellJobEnd,
} from '@longhaul/core/telemetry';
import { jobError } from './disposition.ts';
import type { Engine, Log } from './ports.ts';
import type { CommitPolicy, JobContext, StreamingTokenizer } from './tasks/context.ts';
import { ForkLimit } from './tasks/fork-limit.ts';
import { runJob } from './tasks/run-job.ts';
import { Watchdog } from './watchdog.ts';

/** What the worker is made of. */
export interface WorkerParts {
  readonly ledger: Ledger;
  readonly live: LiveStream;
  readonly engine: Engine;
  readonly tokenizer: StreamingTokenizer;
  readonly openDocument: JobContext['openDocument'];
  readonly states: JobContext['states'];
  /** Questions answered at once, over all jobs. */
  readonly forks: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly name: string;
  /** The model that is served. */
  readonly model: string;
  readonly policy: CommitPolicy;
  /** A job that does not move for so long makes the process untrusted. */
  readonly hungMs: number;
  /** Told of jobs that we lost the lock of. */
  readonly onLost: (jobId: JobId, epoch: number) => void;
  /** Called once when this process can no longer be trusted. */
  readonly onFatal: (error: Error) => void;
}

/**
 *   running ── hurry() ──▶ running: every job in hand commits at once
 *   running ── drain() ──▶ draining ── every job in hand committed and handed back ──▶ (the caller closes)
 *      └───── fatal failure: drain, then exit with an error ─────────────────────────────────▲
 *
 * Take a job, own it, run it, settle it. The ledger says what there is to do; the queue only rings.
 */
export class Worker {
  private readonly parts: WorkerParts;
  private readonly draining = new AbortController();
  private readonly hurrying = new AbortController();
  private readonly inHand = new Map<JobId, Promise<Settlement>>();
  private readonly forks: ForkLimit;
  /** When the last job left our hands, or we began. */
  private restingSince: number;

  constructor(parts: WorkerParts) {
    this.parts = parts;
    this.restingSince = parts.clock.now();
    this.forks = new ForkLimit(parts.forks);
  }

  /** From now on each job in hand commits behind its current chunk and is handed back. */
  drain(reason: string): void {
    if (!this.draining.signal.aborted) this.draining.abort(new Error(reason));
  }

  /** The machine may be taken at any time: each job in hand commits behind its current chunk and goes on. */
  hurry(): void {
    this.hurrying.abort();
  }

  /** Resolves when no job is in hand. */
  async idle(): Promise<void> {
    while (this.inHand.size > 0) await Promise.allSettled(this.inHand.values());
  }

  get jobs(): readonly JobId[] {
    return [...this.inHand.keys()];
  }

  /** Milliseconds without a job in hand. */
  get idleMs(): number {
    return this.inHand.size > 0 ? 0 : this.parts.clock.now() - this.restingSince;
  }

  /** The queue's handler. Never throws: every end is a settlement. */
  async handle(job: TakenJob): Promise<Settlement> {
    const running = this.settleErrors(job);
    this.inHand.set(job.jobId, running);
    try {
      return await running;
    } finally {
      this.inHand.delete(job.jobId);
      this.restingSince = this.parts.clock.now();
    }
  }

  private async settleErrors(job: TakenJob): Promise<Settlement> {
    const { ledger, log, name } = this.parts;
    if (this.draining.signal.aborted) return { kind: 'hand-back' };
    try {
      const acquired = await ledger.acquire(job.jobId, name);
      if (acquired.kind === 'lease') return await this.attemptAt(job, acquired.lease, acquired.spec);
      const { head, spec } = acquired;
      log('info', 'job had ended already', { job: job.jobId, status: head.status });
      await this.announceEnd(head, await ledger.readResult(job.jobId));
      tellJobEnd(spec, head);
      countSettled('settled', null, jobAttributes({ model: spec.model, task: spec.task.kind }));
      return { kind: 'done', seconds: null };
    } catch (error) {
      const { settlement, code } = await this.dispose(job, null, error);
      // Of what task it is stands in a spec that could not be read.
      countSettled(outcomeOf(settlement, null), code, modelAttributes(this.parts.model));
      return settlement;
    }
  }

  /** One attempt, told as it ends, whichever way. */
  private async attemptAt(job: TakenJob, lease: Lease, spec: JobSpec): Promise<Settlement> {
    const { epoch, head: taken } = lease;
    const attributes = jobAttributes({ model: spec.model, task: spec.task.kind });
    return await inAttempt(spec, taken, async (span) => {
      this.parts.log('info', 'job taken', { job: job.jobId, epoch, tokenOffset: taken.position.tokenOffset });
      const end = await this.run(job, lease, spec).then(
        (settlement): Disposed => ({ settlement, code: null }),
        (error: unknown) => this.dispose(job, lease, error),
      );
      const outcome = outcomeOf(end.settlement, lease.head);
      countSettled(outcome, end.code, attributes);
      if (end.code === 'lease_lost') countLeaseLost(spec.model);
      tellAttempt(span, outcome, end.code, lease.head);
      tellJobEnd(spec, lease.head);
      return end.settlement;
    });
  }

  private async run(job: TakenJob, lease: Lease, spec: JobContext['spec']): Promise<Settlement> {
    const { parts } = this;
    const watchdog = new Watchdog(parts.clock, parts.hungMs, `job ${job.jobId}`);
    const running = runJob({
      spec,
      lease,
      ledger: parts.ledger,
      engine: parts.engine,
      tokenizer: parts.tokenizer,
      openDocument: parts.openDocument,
      states: parts.states,
      forks: this.forks,
      live: parts.live,
      clock: parts.clock,
      log: parts.log,
      worker: parts.name,
      policy: parts.policy,
      drain: this.draining.signal,
      soon: this.hurrying.signal,
      watch: watchdog,
      lost: job.signal,
    });
    const end = await this.unlessHung(job, running, watchdog).catch((error: unknown) => {
      // A document that was still being opened: nothing is read, so there is nothing to commit.
      if (this.draining.signal.aborted && error === this.draining.signal.reason) return { kind: 'drained' } as const;
      throw error;
    });
    if (end.kind === 'drained') {
      await lease.release();
      parts.log('info', 'job handed back', { job: job.jobId, tokenOffset: lease.head.position.tokenOffset });
      return { kind: 'hand-back' };
    }
    await this.announceEnd(lease.head, end.result);
    parts.log('info', 'job ended', { job: job.jobId, finishReason: end.result.finishReason });
    return { kind: 'done', seconds: takenSeconds(end.result.usage) };
  }

  /** A hung source lets go at a drain, so that what was read is committed; a hung engine or store never does. */
  private async unlessHung<T>(job: TakenJob, running: Promise<T>, watchdog: Watchdog): Promise<T> {
    try {
      return await Promise.race([running, watchdog.hung]);
    } catch (error) {
      if (!(error instanceof FatalFailure && error.code === 'source_unreadable')) throw error;
      const reason = describeError(error);
      this.parts.log('error', 'attempt ended: fatal', { job: job.jobId, reason });
      this.drain(reason);
      this.parts.onFatal(error);
      return await running;
    } finally {
      watchdog.close();
    }
  }

  /** Turns an error into the job's fate. Committed work stays whatever happens here. */
  private async dispose(job: TakenJob, lease: Lease | null, error: unknown): Promise<Disposed> {
    const { log } = this.parts;
    const failure = jobError(job.signal.aborted ? job.signal.reason : error);
    const reason = `${failure.code}: ${describeError(failure)}`;
    log(failure.disposition === 'abandon' ? 'warn' : 'error', `attempt ended: ${failure.disposition}`, {
      job: job.jobId,
      reason,
    });
    const settlement = await this.settlementOf(job, lease, failure, reason);
    return { settlement, code: failure.code };
  }

  private async settlementOf(
    job: TakenJob,
    lease: Lease | null,
    failure: JobError,
    reason: string,
  ): Promise<Settlement> {
    const { clock } = this.parts;
    switch (failure.disposition) {
      case 'abandon':
        if (failure.code === 'lease_lost' && lease !== null) {
          // A silent queue is not the job's fault. Where somebody else has the job by now, the head refuses.
          await this.giveBack(job, lease);
          this.parts.onLost(job.jobId, lease.epoch);
        }
        return { kind: 'abandon' };
      case 'quarantine': {
        const record: Failure = {
          code: failure.code,
          message: describeError(failure).slice(0, 4096),
          at: clock.date().toISOString(),
        };
        if (lease === null) return { kind: 'quarantine', reason };
        const written = await this.attempt('the failure could not be recorded', job, () => lease.quarantine(record));
        if (written === null) return { kind: 'retry', delayMs: retryDelayMs, reason };
        await this.announceEnd(lease.head, written);
        return { kind: 'quarantine', reason };
      }
      case 'fatal':
        this.drain(reason);
        this.parts.onFatal(failure);
        return { kind: 'hand-back' };
      case 'retry':
        // The world's fault, not the job's: such an attempt does not count towards quarantine. Unknown errors do.
        if (failure.code !== 'internal' && lease !== null) await this.giveBack(job, lease);
        if (this.draining.signal.aborted) return { kind: 'hand-back' };
        return { kind: 'retry', delayMs: retryDelayMs, reason };
    }
  }

  /**
   * An attempt that the head does not hear of again counts as stuck. So while the store is away, when nobody could do
   * anything with the job, it stays in hand: until the store is back, the job is another's, or this process drains.
   */
  private async giveBack(job: TakenJob, lease: Lease): Promise<void> {
    const { clock, log } = this.parts;
    for (;;) {
      try {
        return await lease.release();
      } catch (error) {
        log('warn', 'the job could not be released', { job: job.jobId, reason: describeError(error) });
        if (!(error instanceof RetryableFailure) || this.draining.signal.aborted) return;
        await clock.sleep(retryDelayMs, this.draining.signal).catch(() => undefined);
        if (this.draining.signal.aborted) return;
      }
    }
  }

  /** The live stream's last word; readers that miss it find the end in the ledger. */
  private async announceEnd({ jobId, epoch, status, position }: Head, result: JobResult | null): Promise<void> {
    const { outputCount } = position;
    const end: LiveEvent = { kind: 'end', status, finishReason: result?.finishReason ?? 'failed', outputCount };
    await this.attempt('the end was not streamed', { jobId }, () => this.parts.live.append(jobId, epoch, [end]));
  }

  private async attempt<T>(what: string, job: { readonly jobId: JobId }, write: () => Promise<T>): Promise<T | null> {
    try {
      return await write();
    } catch (error) {
      this.parts.log('warn', what, { job: job.jobId, reason: describeError(error) });
      return null;
    }
  }
}

const retryDelayMs = 5_000;

/** What became of a job, and the code of what it failed with. */
interface Disposed {
  readonly settlement: Settlement;
  readonly code: ErrorCode | null;
}

/** `head`: null where the job could not even be taken. */
function outcomeOf({ kind }: Settlement, head: Head | null): Outcome {
  switch (kind) {
    case 'done':
      return head?.status === 'cancelled' || head?.status === 'expired' ? head.status : 'done';
    case 'quarantine':
      return 'quarantined';
    case 'hand-back':
      return 'handed_back';
    case 'retry':
      return 'retried';
    case 'abandon':
      return 'abandoned';
  }
}
