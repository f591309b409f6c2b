import { observeQuarantined, observeQueues, type QueueReading } from '@longhaul/core/telemetry';
import type { DemandRecord } from '../demand.ts';

/** What the controller's metrics show of the queues: the last that was seen, until the next look. */
export class Gauges {
  private record: DemandRecord | null = null;
  private quarantined: ReadonlyMap<string, number> = new Map();

  /** `oldestSeconds`: since when the oldest job of a model waits for its first worker. */
  constructor(oldestSeconds: (model: string) => number) {
    observeQueues(() => this.queues(oldestSeconds));
    observeQuarantined(() => this.quarantined);
  }

  sawDemand(record: DemandRecord): void {
    this.record = record;
  }

  /** Jobs by model. */
  sawQuarantined(jobs: ReadonlyMap<string, number>): void {
    this.quarantined = jobs;
  }

  private queues(oldestSeconds: (model: string) => number): readonly QueueReading[] {
    return (this.record?.models ?? []).map((found) => ({
      model: found.model,
      jobs: {
        waiting: found.waiting,
        prioritized: found.prioritized,
        delayed_due: found.delayedDue,
        delayed_later: found.delayedLater,
        held: found.held,
        orphaned: found.orphaned,
      },
      demand: found.demand,
      oldestSeconds: oldestSeconds(found.model),
    }));
  }
}
