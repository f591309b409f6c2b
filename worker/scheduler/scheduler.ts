import type { Session, StepItem, StepResult, Want } from '@longhaul/native';
import type { Phase } from '../ports.ts';

/** The part of a model that the scheduler drives. */
export interface StepRunner {
  step(items: readonly StepItem[]): Promise<StepResult[]>;
}

interface Waiting {
  readonly item: StepItem;
  readonly phase: Phase;
  readonly resolve: (result: StepResult) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Many documents, one engine: gathers what the jobs in hand want next into one ragged batch a step.
 *
 * Decode items go first, then prefill chunks in order of arrival while the step's token budget lasts; a chunk is
 * never cut, and the oldest one always runs, since a job may be pinned to chunks larger than the budget. So a long
 * document delays a short answer by at most one step, and since a state's bits do not depend on who shared the batch,
 * the order is free.
 */
export class Scheduler {
  private readonly waiting: Waiting[] = [];
  private running = false;
  private readonly runner: StepRunner;
  private readonly budgetTokens: number;

  /** `budgetTokens`: tokens of one step, over all items. */
  constructor(runner: StepRunner, budgetTokens: number) {
    this.runner = runner;
    this.budgetTokens = budgetTokens;
  }

  step(session: Session, tokens: Int32Array, want: Want, phase: Phase): Promise<StepResult> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ item: { session, tokens, want }, phase, resolve, reject });
      if (!this.running) {
        this.running = true;
        // Jobs that were woken by the same step get to ask again before the next batch is built.
        setImmediate(() => void this.run());
      }
    });
  }

  private async run(): Promise<void> {
    while (this.waiting.length > 0) {
      const batch = this.take();
      try {
        const results = await this.runner.step(batch.map((w) => w.item));
        for (const [i, w] of batch.entries()) settle(w, results[i]!);
      } catch (error) {
        await this.runApart(batch, error);
      }
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    this.running = false;
  }

  /** A refused item changes no session, so the others of its batch run again, each alone: one bad job hurts no other. */
  private async runApart(batch: readonly Waiting[], error: unknown): Promise<void> {
    if (batch.length === 1) {
      batch[0]!.reject(error);
      return;
    }
    for (const w of batch) {
      try {
        settle(w, (await this.runner.step([w.item]))[0]!);
      } catch (own) {
        w.reject(own);
      }
    }
  }

  private take(): Waiting[] {
    const batch: Waiting[] = [];
    let tokens = 0;
    let chunks = 0;
    for (const phase of ['decode', 'prefill'] as const) {
      for (let i = 0; i < this.waiting.length; ) {
        const w = this.waiting[i]!;
        const first = batch.length === 0 || (phase === 'prefill' && chunks === 0);
        if (w.phase === phase && (first || tokens + w.item.tokens.length <= this.budgetTokens)) {
          batch.push(w);
          if (phase === 'prefill') chunks++;
          tokens += w.item.tokens.length;
          this.waiting.splice(i, 1);
        } else {
          i++;
        }
      }
    }
    return batch;
  }
}

function settle(w: Waiting, result: StepResult): void {
  if (result.kind === 'failed') w.reject(result.error);
  else w.resolve(result);
}
