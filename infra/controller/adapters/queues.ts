import { type JobQueue, openQueue, openReaper, type QueueCensus, type QueueReaper } from '@longhaul/core/queue';
import type { OnReaped, Queues, SweptQueue } from '../ports.ts';

export interface QueuesOptions {
  readonly url: string;
  readonly stalledMs: number;
  /** Open from the start, and kept. */
  readonly models: readonly string[];
  readonly onReaped: OnReaped;
  readonly onNotice: (text: string) => void;
}

/** A queue and its reaper for each model, opened when the model is first named. */
export function openQueues(options: QueuesOptions): Queues {
  return new OpenQueues(options);
}

class OpenQueues implements Queues {
  private readonly options: QueuesOptions;
  private readonly open = new Map<string, { readonly queue: JobQueue & QueueCensus; readonly reaper: QueueReaper }>();

  constructor(options: QueuesOptions) {
    this.options = options;
    for (const model of options.models) this.of(model);
  }

  of(model: string): SweptQueue {
    const known = this.open.get(model);
    if (known !== undefined) return known.queue;
    const { url, stalledMs, onReaped, onNotice } = this.options;
    // One voice for an outage: the reaper's connection tells it.
    const queue = openQueue({ url, model, onNotice: () => {} });
    const reaper = openReaper({ url, model, stalledMs, onReaped, onNotice });
    this.open.set(model, { queue, reaper });
    return queue;
  }

  models(): readonly string[] {
    return [...this.open.keys()].sort();
  }

  async keep(models: ReadonlySet<string>): Promise<void> {
    const idle = this.models().filter((model) => !models.has(model) && !this.options.models.includes(model));
    await Promise.all(idle.map((model) => this.closeOne(model)));
  }

  async close(): Promise<void> {
    await Promise.all(this.models().map((model) => this.closeOne(model)));
  }

  private async closeOne(model: string): Promise<void> {
    const found = this.open.get(model);
    this.open.delete(model);
    await Promise.all([found?.queue.close(), found?.reaper.close()]);
  }
}
