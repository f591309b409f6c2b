import {
  Abandoned,
  describeError,
  type OutputRecord,
  type Pins,
  type Position,
  type ScoreTotals,
} from '@longhaul/core/contracts';
import type { Lease } from '@longhaul/core/ledger';
import {
  activeContext,
  attribute,
  countTokensRecomputed,
  failSpan,
  recordCommit,
  spanName,
  startSpan,
} from '@longhaul/core/telemetry';
import type { Snapshot } from '@longhaul/native';
import { jobError } from '../disposition.ts';
import type { JobContext } from './context.ts';
import { tensorsOf } from './tensors.ts';

/** What a commit would write if it were made now. The records are those since the last offer that was taken. */
export interface CommitPoint {
  readonly position: Position;
  readonly score: ScoreTotals | null;
  /** Null only where the state has not moved since the last commit. */
  readonly snapshot: (() => Promise<Snapshot>) | null;
}

/**
 * Commits beside the engine: a point is taken when it is due and no other commit is under way, the snapshot is queued
 * behind the step that made it, and the writes go on while the next chunks run.
 *
 * While the store is out of reach the commit in hand is tried again until it lands or ownership is lost. The engine
 * goes on meanwhile, up to `aheadFactor` commit intervals; then `offer` waits, so that memory and the work at risk
 * stay bounded.
 */
export class Committer {
  private readonly context: JobContext;
  private readonly pins: Pins;
  private records: OutputRecord[] = [];
  private inFlight: Promise<void> | null = null;
  private failure: unknown = null;
  private lastAt: number;
  /** Tokens run when the last commit was begun. */
  private lastRun: number;
  private busySince: number;
  private recomputedTokens: number;
  /**
   * After an attempt that ended without a commit the first chunk is committed: so only a job that kills its worker
   * within one chunk, again and again, is poison.
   */
  private early: boolean;
  /** A commit was begun after `soon`. */
  private hurried = false;
  /** The attempt's: a commit is told below it, also while a span of what is read or written is open. */
  private readonly trace = activeContext();

  constructor(context: JobContext, pins: Pins, recomputedTokens: number) {
    this.context = context;
    this.pins = pins;
    this.recomputedTokens = recomputedTokens;
    this.lastAt = context.clock.now();
    this.busySince = this.lastAt;
    this.lastRun = tokensRun(this.lease.head.position);
    this.early = this.lease.head.stuckAttempts > 1;
  }

  private get lease(): Lease {
    return this.context.lease;
  }

  /** Adds to the output that the next commit carries. */
  add(records: readonly OutputRecord[]): void {
    this.records.push(...records);
  }

  /** At a place where a commit may stand: takes it if it is due. */
  async offer(point: CommitPoint): Promise<void> {
    this.throwFailure();
    const { policy, clock } = this.context;
    const tokens = tokensRun(point.position) - this.lastRun;
    const urged = this.context.soon.aborted && !this.hurried;
    const due =
      this.early || urged || tokens >= policy.commitTokens || clock.now() - this.lastAt >= policy.commitSeconds * 1000;
    if (!due) return;
    if (this.inFlight !== null) {
      if (tokens < aheadFactor * policy.commitTokens) return;
      this.context.watch.waitsFor('store');
      await this.settle();
    }
    this.start(point);
  }

  /** Commits this point and waits for it: at the end of the input, at the end of the output, and on drain. */
  async flush(point: CommitPoint): Promise<void> {
    this.context.watch.waitsFor('store');
    await this.settle();
    this.start(point);
    await this.settle();
  }

  /** Waits for the commit under way; throws what it failed with. */
  async settle(): Promise<void> {
    await this.inFlight;
    this.throwFailure();
  }

  /** Waits for the commit under way, however it ends: the lease's calls must not overlap. */
  async close(): Promise<void> {
    await this.inFlight;
  }

  private start(point: CommitPoint): void {
    const records = this.records;
    const { clock } = this.context;
    this.records = [];
    this.early = false;
    this.hurried = this.context.soon.aborted;
    this.lastAt = clock.now();
    this.lastRun = tokensRun(point.position);
    const busySeconds = (this.lastAt - this.busySince) / 1000;
    const recomputedTokens = this.recomputedTokens;
    this.busySince = this.lastAt;
    this.recomputedTokens = 0;
    const snapshot = point.snapshot?.() ?? null;
    const beganAt = this.lastAt;
    const attributes = {
      [attribute.tokenOffset]: point.position.tokenOffset,
      [attribute.outputCount]: point.position.outputCount,
      [attribute.epoch]: this.lease.epoch,
    };
    const span = startSpan(spanName.commit, attributes, this.trace);
    this.inFlight = (async () => {
      const state = snapshot === null ? null : tensorsOf(this.context.engine, this.pins, await snapshot);
      await this.persist(() =>
        this.lease.commit({
          pins: this.pins,
          position: point.position,
          state,
          records,
          score: point.score,
          recomputedTokens,
          busySeconds,
        }),
      );
      const { job } = this.context.meter;
      recordCommit((clock.now() - beganAt) / 1000, job);
      if (recomputedTokens > 0) countTokensRecomputed(recomputedTokens, job);
      span.setAttribute(attribute.seq, this.lease.head.seq);
    })().then(
      () => {
        span.end();
        this.inFlight = null;
      },
      (error: unknown) => {
        failSpan(span, error);
        span.end();
        this.inFlight = null;
        this.failure = error;
      },
    );
  }

  private async persist(write: () => Promise<unknown>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      this.context.lost.throwIfAborted();
      this.context.watch.alive();
      try {
        await write();
        return;
      } catch (error) {
        const known = jobError(error);
        if (known.disposition !== 'retry' || known.code === 'internal') throw error;
        const waitMs = Math.min(5_000, 250 * 2 ** Math.min(attempt, 5));
        this.context.log('warn', 'commit waits for the store', {
          job: this.context.spec.jobId,
          code: known.code,
          reason: describeError(error),
          attempt,
          waitMs,
        });
        // A drain has seconds, not minutes: what cannot be committed now is read again by the next owner.
        if (this.context.drain.aborted && attempt >= 3) throw error;
        await this.context.clock.sleep(waitMs, this.context.lost);
      }
    }
  }

  private throwFailure(): void {
    if (this.context.lost.aborted) {
      throw this.context.lost.reason ?? new Abandoned('lease_lost', 'ownership of the job was lost');
    }
    if (this.failure !== null) throw this.failure;
  }
}

/** Tokens that the engine has run for what a position covers. */
function tokensRun({ tokenOffset, answered }: Position): number {
  return tokenOffset + (answered?.promptTokens ?? 0) + (answered?.outputTokens ?? 0);
}

/** Commit intervals of work that may be uncommitted while the store is slow. */
const aheadFactor = 4;
