import { type JobId, RetryableFailure } from '@longhaul/core/contracts';
import type { Ledger } from '@longhaul/core/ledger';
import type { Rate } from './rate.ts';

/** Jobs that are counted; where there are more, so many is said. */
const mostCounted = 10_000;
/** The model of a job whose spec cannot be read. */
const unknown = 'unknown';

/** Counts the jobs that wait to be redriven, by model. Each spec is read once. */
export class Quarantined {
  private readonly ledger: Pick<Ledger, 'listQuarantined' | 'readSpec'>;
  private readonly rate: Rate;
  private models: ReadonlyMap<JobId, string> = new Map();

  constructor(ledger: Pick<Ledger, 'listQuarantined' | 'readSpec'>, rate: Rate) {
    this.ledger = ledger;
    this.rate = rate;
  }

  /** @throws RetryableFailure where the store is out of reach */
  async count(signal: AbortSignal): Promise<ReadonlyMap<string, number>> {
    const models = new Map<JobId, string>();
    const counts = new Map<string, number>();
    for await (const jobId of this.ledger.listQuarantined({ limit: mostCounted })) {
      const model = this.models.get(jobId) ?? (await this.modelOf(jobId, signal));
      models.set(jobId, model);
      counts.set(model, (counts.get(model) ?? 0) + 1);
    }
    this.models = models;
    return counts;
  }

  private async modelOf(jobId: JobId, signal: AbortSignal): Promise<string> {
    await this.rate.pass(signal);
    try {
      return (await this.ledger.readSpec(jobId)).model;
    } catch (error) {
      if (error instanceof RetryableFailure) throw error;
      return unknown;
    }
  }
}
