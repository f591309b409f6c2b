import {
  type BatchHead,
  type BatchParts,
  type BatchSpec,
  batchHasEnded,
  type HeldBatch,
  readBatchHead,
  swapBatchHead,
} from '@longhaul/core/batches';
import type { RunnerParts } from './parts.ts';

/** Another runner has the batch, or it is gone: nothing more is written. */
export class BatchLost extends Error {
  override readonly name = 'BatchLost';
}

export type NextHead = Omit<BatchHead, 'nonce' | 'updatedAt'>;

/**
 * A batch in hand. Every write is a swap of the head that was read, and a head of another epoch is another runner's: so
 * whatever a runner that lost its batch still believes, it writes nothing.
 */
export class Hold {
  readonly spec: BatchSpec;
  private readonly parts: RunnerParts;
  private held: HeldBatch;

  private constructor(parts: RunnerParts, spec: BatchSpec, held: HeldBatch) {
    this.parts = parts;
    this.spec = spec;
    this.held = held;
  }

  /** Null where another runner has it, or where it has ended. */
  static async take(parts: RunnerParts, spec: BatchSpec): Promise<Hold | null> {
    const batch = batchParts(parts);
    const found = await readBatchHead(batch, spec.tenant, spec.id);
    if (found === null || batchHasEnded(found.head.status)) return null;
    const { heldUntil } = found.head;
    if (heldUntil !== null && parts.clock.date().getTime() < Date.parse(heldUntil)) return null;
    const next = { ...found.head, epoch: found.head.epoch + 1, runner: parts.name, heldUntil: leaseEnd(parts) };
    const held = await swapBatchHead(batch, spec.tenant, found, next);
    return held === null ? null : new Hold(parts, spec, held);
  }

  get head(): BatchHead {
    return this.held.head;
  }

  /** The newest head: its owner may have asked for something. Also says, in time, that we are still here. */
  async refresh(): Promise<BatchHead> {
    await this.reread();
    await this.renew();
    return this.head;
  }

  /** Says, where that is due, that we are still here. */
  async renew(): Promise<void> {
    const left = Date.parse(this.head.heldUntil ?? this.head.updatedAt) - this.parts.clock.date().getTime();
    if (left < this.parts.settings.leaseMs / 2) await this.update((head) => head);
  }

  /** Swaps until it holds; null leaves the head as it is. `make` may see a head that its own lost answer wrote. */
  async update(make: (head: BatchHead) => NextHead | null): Promise<BatchHead> {
    for (;;) {
      const next = make(this.head);
      if (next === null) return this.head;
      // An end is nobody's: who resumes the batch waits for no one.
      const over = batchHasEnded(next.status);
      const renewed = { ...next, ...(over ? { runner: null, heldUntil: null } : { heldUntil: leaseEnd(this.parts) }) };
      const swapped = await swapBatchHead(batchParts(this.parts), this.spec.tenant, this.held, renewed);
      if (swapped !== null) {
        this.held = swapped;
        return this.head;
      }
      await this.reread();
    }
  }

  /** Another one may take it at once. */
  async release(): Promise<void> {
    const next = { ...this.head, runner: null, heldUntil: null };
    await swapBatchHead(batchParts(this.parts), this.spec.tenant, this.held, next);
  }

  private async reread(): Promise<void> {
    const found = await readBatchHead(batchParts(this.parts), this.spec.tenant, this.spec.id);
    if (found === null || found.head.epoch !== this.head.epoch)
      throw new BatchLost(`${this.spec.id} is another runner's`);
    this.held = found;
  }
}

export function batchParts({ store, clock }: Pick<RunnerParts, 'store' | 'clock'>): BatchParts {
  return { store, clock: () => clock.date() };
}

function leaseEnd({ clock, settings }: RunnerParts): string {
  return new Date(clock.date().getTime() + settings.leaseMs).toISOString();
}
