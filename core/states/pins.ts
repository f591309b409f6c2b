import { z } from 'zod';
import { RejectedJob, RetryableFailure } from '../contracts/errors.ts';
import { limits } from '../contracts/limits.ts';
import type { StateName, StateRef, StateVersion } from '../contracts/state.ts';
import { jsonBytes, readJson } from '../ledger/json-object.ts';
import { type ObjectStore, PreconditionFailed } from '../ledger/object-store.ts';
import { checkOwned, keys, type Slot } from './keys.ts';
import type { StatesParts } from './parts.ts';
import { isRemoved, resolve } from './resolve.ts';
import { listSlots } from './slots.ts';

/**
 *   free ◀── unpin ── pin ──▶ pinned
 *    └── remove ──▶ removing ─▶ the version is marked as removed ─▶ tensors and this object are deleted
 *
 * Pin and removal meet in one object, by compare-and-swap, so one of them comes first: a pinned version is not removed,
 * and one that is being removed is not pinned. No object: free.
 */
const HoldObject = z.strictObject({
  v: z.literal(1),
  hold: z.enum(['free', 'pinned', 'removing']),
  at: z.iso.datetime(),
});
export type Hold = z.infer<typeof HoldObject>['hold'];

const ATTEMPTS = 32;

export async function readHold(store: ObjectStore, slot: Slot): Promise<Hold> {
  return (await readJson(store, keys.pin(slot), HoldObject, limits.pinBytes))?.value.hold ?? 'free';
}

/** Swaps until it holds. `next` sees what stands; returns what stands then. */
export async function changeHold({ store, clock }: StatesParts, slot: Slot, next: (hold: Hold) => Hold): Promise<Hold> {
  const key = keys.pin(slot);
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const found = await readJson(store, key, HoldObject, limits.pinBytes);
    const from = found?.value.hold ?? 'free';
    const hold = next(from);
    if (hold === from) return from;
    const written: z.infer<typeof HoldObject> = { v: 1, hold, at: clock().toISOString() };
    const body = jsonBytes(key, written, limits.pinBytes);
    try {
      await (found === null ? store.putIfAbsent(key, body) : store.putIfMatch(key, body, found.etag));
      return hold;
    } catch (error) {
      if (!(error instanceof PreconditionFailed)) throw error;
    }
  }
  throw new RetryableFailure('store_unavailable', `${key} changed under each of ${ATTEMPTS} attempts to replace it`);
}

export async function pin(parts: StatesParts, tenant: string, ref: StateRef): Promise<StateVersion> {
  const version = await resolve(parts.store, tenant, ref);
  const hold = await changeHold(parts, version, (from) => (from === 'removing' ? from : 'pinned'));
  // A removal deletes this object last, so a pin in its place may be younger than the mark that the version is gone.
  if (hold === 'pinned' && !(await isRemoved(parts.store, version))) return version;
  throw new RejectedJob('state_not_found', `${version.name}@${version.version} of tenant ${tenant} is being removed`);
}

export async function unpin(parts: StatesParts, tenant: string, ref: StateRef): Promise<StateVersion> {
  const version = await resolve(parts.store, tenant, ref);
  await changeHold(parts, version, (from) => (from === 'pinned' ? 'free' : from));
  return version;
}

export async function pinned(store: ObjectStore, tenant: string, name: StateName): Promise<ReadonlySet<number>> {
  checkOwned(tenant, name);
  const { held } = await listSlots(store, tenant, name);
  const found = new Set<number>();
  for (const version of held) if ((await readHold(store, { tenant, name, version })) === 'pinned') found.add(version);
  return found;
}
