import type { StateVersion } from '../contracts/state.ts';
import type { ObjectStore } from '../ledger/object-store.ts';
import { checkOwned, keys, type Slot } from './keys.ts';
import type { Ancestor } from './port.ts';
import { readRecord } from './record.ts';
import { listSlots, type Slots } from './slots.ts';

/** Records that are read side by side: the parent of a version is most often the one before it. */
const AHEAD = 16;

/** What a version was read on from, nearest first. */
export async function lineageOf(store: ObjectStore, version: StateVersion): Promise<Ancestor[]> {
  const { tenant } = version;
  checkOwned(tenant, version.name);
  const records = new Map<string, ReturnType<typeof readRecord>>();
  const names = new Map<string, Promise<Slots>>();
  const recordOf = (slot: Slot) => {
    for (let at = slot.version; at > Math.max(0, slot.version - AHEAD); at--) {
      const ahead = { ...slot, version: at };
      if (records.has(keys.version(ahead))) continue;
      const reading = readRecord(store, ahead);
      // One that nobody asks for may be damaged.
      reading.catch(() => {});
      records.set(keys.version(ahead), reading);
    }
    return records.get(keys.version(slot))!;
  };
  const slotsOf = (name: string) => {
    const slots = names.get(name) ?? listSlots(store, tenant, name);
    names.set(name, slots);
    return slots;
  };
  const found: Ancestor[] = [];
  const met = new Set([keys.version(version)]);
  for (let parent = version.origin.parent; parent !== null; ) {
    const slot: Slot = { tenant, ...parent };
    // A parent is older than its child: only a forged record comes back to where it was.
    if (met.has(keys.version(slot))) break;
    met.add(keys.version(slot));
    const record = await recordOf(slot);
    if (record === null || record === 'void') break;
    const { live } = await slotsOf(slot.name);
    found.push({ version: record, removed: !live.includes(slot.version) });
    parent = record.origin.parent;
  }
  return found;
}
