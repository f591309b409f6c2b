import { RejectedJob } from '../contracts/errors.ts';
import type { StateName, StateRef, StateVersion } from '../contracts/state.ts';
import type { ObjectStore } from '../ledger/object-store.ts';
import { checkOwned, checkTenant, checkVersion, keys, type Slot } from './keys.ts';
import type { StateSummary } from './port.ts';
import { readRecord } from './record.ts';
import { inBatches, listSlots, objectsByName, type Slots, slotsOf } from './slots.ts';

/** Records that are read side by side. */
const AT_ONCE = 16;

export async function resolve(store: ObjectStore, tenant: string, ref: StateRef): Promise<StateVersion> {
  const { name } = ref;
  checkOwned(tenant, name);
  if (ref.version === null) {
    const { live, last } = await listSlots(store, tenant, name);
    const newest = await findNewest(store, tenant, name, live);
    if (newest !== null) return newest;
    throw notFound(tenant, name, last === 0 ? 'no version' : 'no version any more: all were removed');
  }
  checkVersion(ref.version);
  const slot = { tenant, name, version: ref.version };
  const found = await readRecord(store, slot);
  if (found === null || found === 'void') throw notFound(tenant, name, `no version ${ref.version}`);
  if (await isRemoved(store, slot)) throw notFound(tenant, name, `no version ${ref.version} any more: it was removed`);
  return found;
}

export async function isRemoved(store: ObjectStore, slot: Slot): Promise<boolean> {
  return (await store.head(keys.removed(slot))) !== null;
}

/** The newest of the live numbers, which ascend. Only a sweep that crashed leaves one that is void. */
export async function findNewest(
  store: ObjectStore,
  tenant: string,
  name: StateName,
  live: readonly number[],
): Promise<StateVersion | null> {
  for (const version of live.toReversed()) {
    const found = await readRecord(store, { tenant, name, version });
    if (found !== null && found !== 'void') return found;
  }
  return null;
}

export async function versionsOf(store: ObjectStore, tenant: string, name: StateName): Promise<StateVersion[]> {
  checkOwned(tenant, name);
  const { live } = await listSlots(store, tenant, name);
  const found: StateVersion[] = [];
  for (let i = 0; i < live.length; i += AT_ONCE) {
    const some = live.slice(i, i + AT_ONCE);
    const records = await Promise.all(some.map((version) => readRecord(store, { tenant, name, version })));
    for (const record of records) if (record !== null && record !== 'void') found.push(record);
  }
  if (found.length === 0) throw notFound(tenant, name, 'no version');
  return found;
}

/** One listing of all that the tenant has, and a read for each name that has a version. */
export async function* listStates(store: ObjectStore, tenant: string): AsyncGenerator<StateSummary> {
  checkTenant(tenant);
  for await (const names of inBatches(objectsByName(store.list(keys.tenant(tenant))), AT_ONCE)) {
    const summaries = names.map(({ name, objects }) =>
      summarize(store, tenant, name, slotsOf(objects.map(({ key }) => key))),
    );
    for (const summary of await Promise.all(summaries)) if (summary !== null) yield summary;
  }
}

async function summarize(
  store: ObjectStore,
  tenant: string,
  name: StateName,
  { live }: Slots,
): Promise<StateSummary | null> {
  const newest = await findNewest(store, tenant, name, live);
  return newest === null ? null : { name, newest, versions: live.filter((one) => one <= newest.version).length };
}

function notFound(tenant: string, name: string, what: string): RejectedJob {
  return new RejectedJob('state_not_found', `state ${name} of tenant ${tenant} has ${what}`);
}
