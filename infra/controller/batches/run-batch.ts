import { type BatchHead, type BatchSpec, batchHasEnded, jobPrefix, validateBatch } from '@longhaul/core/batches';
import { describeError, errorCode, RetryableFailure } from '@longhaul/core/contracts';
import { markedOpen } from '@longhaul/core/ledger';
import { ringOf } from '@longhaul/core/queue';
import { tend } from '../tend.ts';
import { announceEnd } from '../webhooks/announce.ts';
import { beginFinish, finish } from './finish.ts';
import { BatchLost, Hold } from './hold.ts';
import type { RunnerParts } from './parts.ts';
import { Walk } from './walk.ts';

/** After something that a moment does not mend. */
const troubledMs = 30_000;
/** A cancelled job that nobody ends for so long is left to its own end. */
const stopGraceMs = 120_000;

/**
 * Runs one batch, as far as it goes: to its end, to a pause with nothing in flight, or until the signal. Every step may be the last one
 * of this process.
 */
export async function runBatch(parts: RunnerParts, spec: BatchSpec, signal: AbortSignal): Promise<void> {
  const hold = await Hold.take(parts, spec);
  if (hold === null) return;
  const run = new BatchRun(parts, hold);
  try {
    while (!signal.aborted && (await run.attempt(signal)));
    if (!batchHasEnded(hold.head.status)) await hold.release();
  } catch (error) {
    if (!(error instanceof BatchLost)) throw error;
    parts.log('debug', 'another controller has the batch', { batch: spec.id });
  }
}

class BatchRun {
  private readonly parts: RunnerParts;
  private readonly hold: Hold;
  private walk: Walk | null = null;
  private stoppingSince: number | null = null;
  private failing = '';

  constructor(parts: RunnerParts, hold: Hold) {
    this.parts = parts;
    this.hold = hold;
  }

  /** One step, and the pause behind it; what fails is tried again. False where there is nothing more to do here. */
  async attempt(signal: AbortSignal): Promise<boolean> {
    const { clock, settings } = this.parts;
    let pauseMs = settings.pollMs;
    try {
      await this.hold.refresh();
      const before = this.hold.head.status;
      if (!(await this.step(signal))) return false;
      this.failing = '';
      if (this.hold.head.status !== before) return true;
    } catch (error) {
      if (error instanceof BatchLost) throw error;
      if (signal.aborted) return false;
      pauseMs = error instanceof RetryableFailure ? Math.max(1000, settings.pollMs) : troubledMs;
      await this.tell(error);
    }
    await clock.sleep(pauseMs, signal).catch(() => undefined);
    return true;
  }

  private async step(signal: AbortSignal): Promise<boolean> {
    const { head } = this.hold;
    switch (head.status) {
      case 'validating':
        if (this.isDue) await beginFinish(this.parts, this.hold, 'expired');
        else await this.validate(signal);
        return true;
      case 'in_progress':
      case 'paused':
        return await this.advance(head);
      case 'cancelling':
        await this.stop();
        return true;
      case 'finalizing':
        await finish(this.parts, this.hold);
        return true;
      default:
        if (batchHasEnded(head.status)) this.parts.log('info', 'batch ended', { batch: head.id, status: head.status });
        return false;
    }
  }

  private get isDue(): boolean {
    return this.parts.clock.date().getTime() >= Date.parse(this.hold.head.expiresAt);
  }

  private async validate(signal: AbortSignal): Promise<void> {
    const { spec } = this.hold;
    const { stream } = await this.parts.files.read(spec.tenant, spec.inputFileId);
    const hold = this.hold;
    const renewing = async function* () {
      for await (const chunk of stream) {
        yield chunk;
        await hold.renew();
      }
    };
    const { total, errors, errorCount } = await validateBatch(renewing(), spec, { signal });
    const now = this.parts.clock.date();
    if (errorCount > 0) await announceEnd(this.parts, spec, hold.head, 'failed', now);
    const at = now.toISOString();
    await this.hold.update((head) => {
      if (head.status !== 'validating') return null;
      const found = { ...head, total, lineErrors: [...errors], lineErrorCount: errorCount };
      return errorCount === 0
        ? { ...found, status: 'in_progress', inProgressAt: at }
        : { ...found, status: 'failed', failedAt: at };
    });
  }

  /** False where the batch is paused and nothing is under way. */
  private async advance(head: BatchHead): Promise<boolean> {
    this.walk ??= new Walk(this.parts, this.hold);
    const walk = this.walk;
    if (this.isDue) {
      await walk.flush();
      await beginFinish(this.parts, this.hold, 'expired');
      return true;
    }
    const done = await walk.turn({ begin: head.status === 'in_progress' && !this.isSpent });
    if (done && this.hold.head.cursor.line === head.total) {
      await beginFinish(this.parts, this.hold, 'completed');
      return true;
    }
    if (head.status === 'paused') {
      if (!walk.isIdle) return true;
      await walk.flush();
      return false;
    }
    if (this.isSpent) await this.pause();
    return true;
  }

  private get isSpent(): boolean {
    const { maxCost } = this.hold.head;
    return maxCost !== null && (this.walk?.spent ?? 0) >= maxCost.dollars;
  }

  private async pause(): Promise<void> {
    await this.hold.update((head) =>
      head.status === 'in_progress' && this.isSpent ? { ...head, status: 'paused', pauseReason: 'max_cost' } : null,
    );
  }

  /** Ends the jobs that are open, whoever made them; then the batch. */
  private async stop(): Promise<void> {
    const { clock, ledger, queueOf, store } = this.parts;
    const { spec } = this.hold;
    this.stoppingSince ??= clock.now();
    await this.walk?.flush();
    let open = 0;
    for await (const jobId of markedOpen(store, jobPrefix(spec.tenant, spec.id))) {
      open += 1;
      const job = await ledger.readSpec(jobId);
      await ledger.requestCancel(jobId);
      await tend(jobId, ringOf(job), { ledger, queue: queueOf(job.model), now: clock.date(), thorough: true });
      await this.hold.renew();
    }
    if (open > 0 && clock.now() - this.stoppingSince < stopGraceMs) return;
    await beginFinish(this.parts, this.hold, 'cancelled');
  }

  private async tell(error: unknown): Promise<void> {
    const message = describeError(error).slice(0, 1024);
    if (this.failing === message) return;
    this.failing = message;
    this.parts.log('warn', 'a batch does not go on; trying again', { batch: this.hold.spec.id, reason: message });
    const trouble = { code: errorCode(error), message, at: this.parts.clock.date().toISOString() };
    await this.hold
      .update((head) => ({ ...head, trouble }))
      .catch((again: unknown) => {
        if (again instanceof BatchLost) throw again;
      });
  }
}
