import { describeError } from '@longhaul/core/contracts';
import type { JobContext } from './context.ts';
import type { TaskEnd } from './task.ts';

/** Every second the quick signal, every fifteenth second (or at the signal) the ledger's mark, which is the truth. */
const signalEveryMs = 1000;
const ledgerEverySignals = 15;

/** Watches, while a job runs, for the user's cancel and for the job's deadline: either ends it at the next chunk. */
export class CancelWatch {
  private readonly context: JobContext;
  private readonly stop = new AbortController();
  private readonly found = new AbortController();
  private deadlinePassed = false;

  constructor(context: JobContext) {
    this.context = context;
    this.lookAtClock();
    void this.watch();
  }

  get requested(): boolean {
    return this.found.signal.aborted;
  }

  /** Aborts when the cancel is heard, or the deadline has passed. */
  get signal(): AbortSignal {
    return this.found.signal;
  }

  /** Ends the job as what was heard says. */
  async end(): Promise<TaskEnd> {
    const { lease } = this.context;
    if (this.deadlinePassed) return { kind: 'expired', result: await lease.expire() };
    return { kind: 'cancelled', result: await lease.cancel() };
  }

  /** A question under way is not waited for: Redis may be slow, and its answer changes nothing any more. */
  close(): void {
    this.stop.abort();
  }

  private lookAtClock(): void {
    const { clock, lease } = this.context;
    const { expiresAt } = lease.head;
    if (this.requested || expiresAt === null || clock.date().getTime() < Date.parse(expiresAt)) return;
    this.deadlinePassed = true;
    this.found.abort(new Error(`the deadline ${expiresAt} has passed`));
  }

  private async watch(): Promise<void> {
    const { clock, ledger, live, log, spec } = this.context;
    for (let round = 1; !this.requested; round++) {
      try {
        await clock.sleep(signalEveryMs, this.stop.signal);
      } catch {
        return;
      }
      this.lookAtClock();
      try {
        // The signal alone ends nothing: it may be left from before the job was redriven.
        const look = round % ledgerEverySignals === 0 || (live !== null && (await live.cancelSignalled(spec.jobId)));
        if (look && (await ledger.cancelRequested(spec.jobId))) this.found.abort();
      } catch (error) {
        if (this.stop.signal.aborted) return;
        log('warn', 'could not look for a cancel', { job: spec.jobId, reason: describeError(error) });
      }
    }
  }
}
