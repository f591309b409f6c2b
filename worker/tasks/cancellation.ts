import { describeError } from '@longhaul/core/contracts';
import type { JobContext } from './context.ts';

/** Every second the quick signal, every fifteenth second the ledger's mark (the truth, where Redis lost the signal). */
const signalEveryMs = 1000;
const ledgerEverySignals = 15;

/** Watches for the user's cancel while a job runs. */
export class CancelWatch {
  private readonly context: JobContext;
  private readonly stop = new AbortController();
  private readonly found = new AbortController();
  private readonly loop: Promise<void>;

  constructor(context: JobContext) {
    this.context = context;
    this.loop = this.watch();
  }

  get requested(): boolean {
    return this.found.signal.aborted;
  }

  /** Aborts when the cancel is heard. */
  get signal(): AbortSignal {
    return this.found.signal;
  }

  async close(): Promise<void> {
    this.stop.abort();
    await this.loop;
  }

  private async watch(): Promise<void> {
    const { clock, ledger, live, log, spec } = this.context;
    for (let round = 1; !this.requested; round++) {
      try {
        await clock.sleep(signalEveryMs, this.stop.signal);
      } catch {
        return;
      }
      try {
        if (live !== null && (await live.cancelSignalled(spec.jobId))) this.found.abort();
        if (round % ledgerEverySignals === 0 && (await ledger.cancelRequested(spec.jobId))) this.found.abort();
      } catch (error) {
        log('warn', 'could not look for a cancel', { job: spec.jobId, reason: describeError(error) });
      }
    }
  }
}
