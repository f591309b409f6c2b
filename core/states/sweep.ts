import { RejectedJob } from '../contracts/errors.ts';
import { type ObjectInfo, type ObjectStore, PreconditionFailed } from '../ledger/object-store.ts';
import { keys, partOf, type Slot } from './keys.ts';
import type { StatesParts } from './parts.ts';
import { readHold } from './pins.ts';
import { removePrefixesOf } from './prefixes/prefixes.ts';
import { readRecord, voidBytes } from './record.ts';
import { finishRemoval, markRemoved } from './remove.ts';
import { inBatches, objectsByName } from './slots.ts';

export interface StateSweepOptions {
  readonly now?: () => Date;
  /** Hours after which tensors whose number is free are taken for what a crash left. */
  readonly leftoverHours?: number;
  readonly signal?: AbortSignal;
  /** Told of each name that could not be swept, with the reason; the sweep goes on. */
  readonly onDamaged?: (name: string, error: Error) => void;
}

export interface StateSweepCounts {
  /** Names that were looked at. */
  readonly names: number;
  readonly damaged: number;
  /** Tensors that no version names, deleted. */
  readonly tensors: number;
  /** Removals that had stopped midway, finished. */
  readonly removals: number;
  /** Numbers that a publisher died on, taken so that nobody gets them any more. */
  readonly voided: number;
}

/** Names that are swept side by side. */
const AT_ONCE = 8;

interface Round {
  readonly parts: StatesParts;
  readonly leftBefore: number;
  readonly counts: { -readonly [K in keyof StateSweepCounts]: number };
}

/**
 * Deletes what crashed publishers and removals left of named states. May be stopped at any point, and run beside
 * publishers, removals and other sweeps; memory is that of one name's keys.
 *
 * Tensors of number n are deleted only where they can never be named any more, whatever is under way and however slow:
 *   - n has a record that names others, or none: a record is never replaced or deleted, and no other record may name
 *     tensors of n;
 *   - n is marked as removed: the mark is final.
 * Where n is free its publisher may be at work still. After `leftoverHours` the sweep takes n itself, by put-if-absent, as
 * the publisher would: if that holds, the publisher finds n taken, whenever it comes back, and writes its tensors anew
 * for a later number; if it does not hold, the publisher was there, and its tensors stay. So the hours are politeness
 * alone. A pin object is deleted only where its version is marked as removed: a pin looks at the mark after it was put.
 */
export async function sweepStates(store: ObjectStore, options: StateSweepOptions = {}): Promise<StateSweepCounts> {
  const clock = options.now ?? (() => new Date());
  const leftBefore = clock().getTime() - (options.leftoverHours ?? 24) * 3600 * 1000;
  const counts = { names: 0, damaged: 0, tensors: 0, removals: 0, voided: 0 };
  const round: Round = { parts: { store, clock }, leftBefore, counts };
  const { signal } = options;
  const all = store.list(keys.states, signal === undefined ? {} : { signal });
  for await (const names of inBatches(objectsByName(all), AT_ONCE)) {
    signal?.throwIfAborted();
    counts.names += names.length;
    const swept = names.map(async ({ tenant, name, objects }) => {
      try {
        await sweepName(round, objects);
      } catch (error) {
        if (!(error instanceof RejectedJob)) throw error;
        counts.damaged += 1;
        options.onDamaged?.(`${tenant}/${name}`, error);
      }
    });
    await Promise.all(swept);
  }
  return counts;
}

async function sweepName(round: Round, objects: readonly ObjectInfo[]): Promise<void> {
  const parts = objects.map((info) => ({ info, ...partOf(info.key)! }));
  const removed = new Set(parts.filter(({ kind }) => kind === 'removed').map(({ slot }) => slot.version));
  for (const { info, kind, slot } of parts) {
    const isRemoved = removed.has(slot.version);
    if (kind === 'ckpt') await sweepTensors(round, info, slot, isRemoved);
    else if (kind === 'pins') await sweepPin(round, info.key, slot, isRemoved);
  }
}

async function sweepTensors(
  { parts, leftBefore, counts }: Round,
  info: ObjectInfo,
  slot: Slot,
  isRemoved: boolean,
): Promise<void> {
  const { store, clock } = parts;
  if (!isRemoved) {
    let record = await readRecord(store, slot);
    if (record === null) {
      if (info.modifiedAt.getTime() >= leftBefore) return;
      try {
        await store.putIfAbsent(keys.version(slot), voidBytes(slot, clock()));
        counts.voided += 1;
        record = 'void';
      } catch (error) {
        if (!(error instanceof PreconditionFailed)) throw error;
        record = await readRecord(store, slot);
      }
    }
    if (record === null || (record !== 'void' && record.checkpoint.key === info.key)) return;
    // Whoever lists the name then knows it without a read.
    if (record === 'void') await markRemoved(parts, slot);
  }
  await store.delete(info.key);
  counts.tensors += 1;
}

async function sweepPin({ parts, counts }: Round, key: string, slot: Slot, isRemoved: boolean): Promise<void> {
  const { store } = parts;
  if (isRemoved) {
    await removePrefixesOf(store, slot);
    return await store.delete(key);
  }
  if ((await readHold(store, slot)) !== 'removing') return;
  const record = await readRecord(store, slot);
  if (record === null || record === 'void') return;
  await finishRemoval(parts, record);
  counts.removals += 1;
}
