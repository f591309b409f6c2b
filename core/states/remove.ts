import { LonghaulError } from '../contracts/errors.ts';
import { limits } from '../contracts/limits.ts';
import type { StateRef, StateVersion } from '../contracts/state.ts';
import { jsonBytes } from '../ledger/json-object.ts';
import { PreconditionFailed } from '../ledger/object-store.ts';
import { keys, type Slot } from './keys.ts';
import type { StatesParts } from './parts.ts';
import { changeHold, readHold } from './pins.ts';
import { removePrefixesOf } from './prefixes/prefixes.ts';
import { resolve, versionsOf } from './resolve.ts';

/** Oldest first, so that a name means its newest version until the last one goes. */
export async function remove(parts: StatesParts, tenant: string, ref: StateRef): Promise<StateVersion[]> {
  const { store } = parts;
  const targets =
    ref.version === null ? await versionsOf(store, tenant, ref.name) : [await resolve(store, tenant, ref)];
  for (const version of targets) if ((await readHold(store, version)) === 'pinned') throw isPinned(version);
  for (const version of targets) {
    const hold = await changeHold(parts, version, (from) => (from === 'pinned' ? from : 'removing'));
    if (hold === 'pinned') throw isPinned(version);
    await finishRemoval(parts, version);
  }
  return targets;
}

/**
 * Of a version whose pin object says `removing`; a crash behind any step is gone on with by a sweep. The mark is final:
 * nothing names the tensors any more, and what else is left of the version but its record is garbage.
 */
export async function finishRemoval(parts: StatesParts, version: StateVersion): Promise<void> {
  await markRemoved(parts, version);
  await parts.store.delete(version.checkpoint.key);
  await removePrefixesOf(parts.store, version);
  await parts.store.delete(keys.pin(version));
}

export async function markRemoved({ store, clock }: StatesParts, slot: Slot): Promise<void> {
  const key = keys.removed(slot);
  try {
    await store.putIfAbsent(key, jsonBytes(key, { v: 1, at: clock().toISOString() }, limits.pinBytes));
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
  }
}

function isPinned({ tenant, name, version }: StateVersion): LonghaulError {
  return new LonghaulError('state_pinned', `${name}@${version} of tenant ${tenant} is pinned: unpin it first`);
}
