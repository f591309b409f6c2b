import type { StateName } from '../contracts/state.ts';
import type { ObjectInfo, ObjectStore } from '../ledger/object-store.ts';
import { keys, partOf } from './keys.ts';

/** What the keys of one name tell, without a read. Numbers ascend. */
export interface Slots {
  /** The greatest number that is taken; 0: none is. */
  readonly last: number;
  /** Taken and not removed. */
  readonly live: readonly number[];
  /** Those of them that a pin was ever put on. */
  readonly held: readonly number[];
}

/**
 * One listing, in which a version comes before its removal and so is never seen after it. A listing of several pages is no
 * moment in time: it may lack a number that was taken meanwhile, below one that it has.
 */
export async function listSlots(store: ObjectStore, tenant: string, name: StateName): Promise<Slots> {
  const found: string[] = [];
  for await (const { key } of store.list(keys.name({ tenant, name }))) found.push(key);
  return slotsOf(found);
}

/** Keys of one name, in any order. */
export function slotsOf(found: Iterable<string>): Slots {
  const [taken, held, removed] = [new Set<number>(), new Set<number>(), new Set<number>()];
  for (const key of found) {
    const part = partOf(key);
    if (part === null) continue;
    if (part.kind === 'version') taken.add(part.slot.version);
    else if (part.kind === 'pins') held.add(part.slot.version);
    else if (part.kind === 'removed') removed.add(part.slot.version);
  }
  const all = [...taken].sort((a, b) => a - b);
  const live = all.filter((version) => !removed.has(version));
  return { last: all.at(-1) ?? 0, live, held: live.filter((version) => held.has(version)) };
}

/** The objects of one name after the other, in bounded memory: in key order they stand together. */
export async function* objectsByName(
  all: AsyncIterable<ObjectInfo>,
): AsyncGenerator<{ readonly tenant: string; readonly name: StateName; readonly objects: readonly ObjectInfo[] }> {
  let own = { tenant: '', name: '' };
  let objects: ObjectInfo[] = [];
  for await (const info of all) {
    const part = partOf(info.key);
    if (part === null) continue;
    const { tenant, name } = part.slot;
    if (tenant !== own.tenant || name !== own.name) {
      if (objects.length > 0) yield { ...own, objects };
      own = { tenant, name };
      objects = [];
    }
    objects.push(info);
  }
  if (objects.length > 0) yield { ...own, objects };
}

export async function* inBatches<T>(all: AsyncIterable<T>, most: number): AsyncGenerator<readonly T[]> {
  let batch: T[] = [];
  for await (const one of all) {
    batch.push(one);
    if (batch.length < most) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
