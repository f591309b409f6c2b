import { RejectedJob } from '../contracts/errors.ts';
import type { ObjectStore } from '../ledger/object-store.ts';
import type { BatchHead } from './batch.ts';
import { readBatchHead } from './head-object.ts';
import { batchKeys, batchOfPart } from './keys.ts';

export interface BatchSweepOptions {
  /** Days that parts are kept after the end of their batch; null: for ever. */
  readonly jobDays: number | null;
  readonly now?: () => Date;
  readonly signal?: AbortSignal;
  /** Told of each batch that could not be swept, with the reason; its parts stay, and the sweep goes on. */
  readonly onDamaged?: (id: string, error: Error) => void;
}

const dayMs = 24 * 3600 * 1000;

/**
 * Deletes the parts of batches that ended so long ago; returns how many went. What they hold stands in the batch's files, which
 * are their owner's. An expired batch keeps its parts: it may be resumed, and goes on behind them. May be stopped at any
 * point, and run beside controllers and other sweeps.
 */
export async function sweepBatches(store: ObjectStore, options: BatchSweepOptions): Promise<number> {
  const { jobDays, signal, onDamaged } = options;
  if (jobDays === null) return 0;
  const now = (options.now ?? (() => new Date()))();
  const before = now.getTime() - jobDays * dayMs;
  let last = { prefix: '', over: false };
  let gone = 0;
  for await (const { key } of store.list(batchKeys.parts)) {
    signal?.throwIfAborted();
    const part = batchOfPart(key);
    if (part === null) continue;
    const { tenant, id } = part;
    const prefix = `${tenant}/${id}`;
    // The parts of one batch stand together.
    if (prefix !== last.prefix) {
      try {
        const held = await readBatchHead({ store, clock: () => now }, tenant, id);
        last = { prefix, over: held !== null && (endOf(held.head) ?? now.getTime()) < before };
      } catch (error) {
        if (!(error instanceof RejectedJob)) throw error;
        onDamaged?.(id, error);
        last = { prefix, over: false };
      }
    }
    if (!last.over) continue;
    await store.delete(key);
    gone += 1;
  }
  return gone;
}

/** When the batch came to an end that nothing follows, in ms; null where it did not. */
function endOf({ completedAt, cancelledAt, failedAt }: BatchHead): number | null {
  const at = completedAt ?? cancelledAt ?? failedAt;
  return at === null ? null : Date.parse(at);
}
