import { batchHasEnded, batchKeys, batchOfMarker, readBatchHead, readBatchSpec } from '@longhaul/core/batches';
import { describeError, errorCode } from '@longhaul/core/contracts';
import { batchParts } from './hold.ts';
import type { RunnerParts } from './parts.ts';
import { runBatch } from './run-batch.ts';

/** Batches that one controller runs side by side. */
const mostAtOnce = 32;

/** Looks after the batches that have not ended: each is run here, or by whoever has it. */
export class BatchRunners {
  private readonly parts: RunnerParts;
  private readonly running = new Map<string, Promise<void>>();
  private open = false;

  constructor(parts: RunnerParts) {
    this.parts = parts;
  }

  /** Whether the last round found a batch that goes on, here or elsewhere: one that is paused does not. */
  get found(): boolean {
    return this.open;
  }

  /** Begins what nobody runs; returns how many are under way here. */
  async round(signal: AbortSignal): Promise<number> {
    const { store, clock, log } = this.parts;
    this.open = this.running.size > 0;
    for await (const { key } of store.list(batchKeys.markers)) {
      const marker = batchOfMarker(key);
      if (marker === null || signal.aborted) continue;
      const { tenant, id, generation } = marker;
      if (this.running.has(id) || this.running.size >= mostAtOnce) continue;
      const found = await readBatchHead(batchParts(this.parts), tenant, id);
      // A creation that is under way, or that a crash cut off: the same request again completes it.
      if (found === null || found.head.generation < generation) continue;
      const { head } = found;
      if (head.generation > generation || batchHasEnded(head.status)) {
        await store.delete(key);
        continue;
      }
      const now = clock.date().getTime();
      const held = head.heldUntil !== null && now < Date.parse(head.heldUntil);
      if (held || head.status !== 'paused') this.open = true;
      if (held || (head.status === 'paused' && now < Date.parse(head.expiresAt))) continue;
      const run = readBatchSpec(batchParts(this.parts), tenant, id)
        .then((spec) => runBatch(this.parts, spec, signal))
        .catch((error: unknown) => {
          if (signal.aborted) return;
          log('warn', 'a batch was let go', { batch: id, code: errorCode(error), reason: describeError(error) });
        })
        .finally(() => this.running.delete(id));
      this.running.set(id, run);
    }
    return this.running.size;
  }

  /** Resolves when none is under way. */
  async settled(): Promise<void> {
    while (this.running.size > 0) await Promise.all(this.running.values());
  }
}
