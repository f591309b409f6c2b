import type { Clock } from '@longhaul/core/contracts';
import type { QueueDemand } from '@longhaul/core/queue';
import type { Queues } from './ports.ts';

/** What the queue of one model asks for: `demand` jobs want a worker that has room, and `held` ones have theirs. */
export interface ModelDemand extends QueueDemand {
  readonly model: string;
  readonly demand: number;
}

/** One moment's demand, for whoever starts workers: `ceil(demand / slots)` of them find something to do. */
export interface DemandRecord {
  readonly at: string;
  readonly demand: number;
  readonly models: readonly ModelDemand[];
}

/** An orphan counts: it waits again soon, and an autoscaler that looks at the line alone would never wake for it. */
export function demandOf({ waiting, prioritized, delayedDue, orphaned }: QueueDemand): number {
  return waiting + prioritized + delayedDue + orphaned;
}

export async function readDemand(queues: Pick<Queues, 'models' | 'of'>, clock: Clock): Promise<DemandRecord> {
  const models: ModelDemand[] = [];
  for (const model of queues.models()) {
    const found = await queues.of(model).demand();
    models.push({ model, demand: demandOf(found), ...found });
  }
  return {
    at: clock.date().toISOString(),
    demand: models.reduce((sum, { demand }) => sum + demand, 0),
    models,
  };
}
