import { z } from 'zod';
import { RejectedJob } from '../contracts/errors.ts';
import { StateVersion } from '../contracts/state.ts';
import { jsonBytes, readJson } from '../ledger/json-object.ts';
import type { ObjectStore } from '../ledger/object-store.ts';
import { keys, type Slot } from './keys.ts';

/** Bytes of a version's record: its document may be 64 KiB of text, six times that as JSON escapes. */
const RECORD_BYTES = 1024 * 1024;

/** A number that no version will ever have: a sweep took it, since a publisher died on it (see `sweepStates`). */
const VoidVersion = z.strictObject({ v: z.literal(1), void: z.literal(true), at: z.iso.datetime() });

const Stored = z.union([VoidVersion, StateVersion]);

/**
 * What stands under a number: a version (also one that was removed: its record stays), `void`, or null where the number is
 * free. A record that is not of this place, or that names tensors elsewhere, is `object_corrupt`.
 */
export async function readRecord(store: ObjectStore, slot: Slot): Promise<StateVersion | 'void' | null> {
  const key = keys.version(slot);
  const found = await readJson(store, key, Stored, RECORD_BYTES);
  if (found === null) return null;
  const { value } = found;
  if ('void' in value) return 'void';
  checkPlace(value, slot, `${key} in ${store.url}`);
  return value;
}

/** Refuses a version that claims another place than `slot`, or tensors that are not its own. */
export function checkPlace(version: StateVersion, slot: Slot, where: string): void {
  const own = keys.checkpoint(slot, version.checkpoint.sha256);
  const same = version.tenant === slot.tenant && version.name === slot.name && version.version === slot.version;
  if (same && version.checkpoint.key === own) return;
  const found = same ? version.checkpoint.key : keys.version(version);
  throw new RejectedJob(
    'object_corrupt',
    `${where} says that it is ${found}; expected ${same ? own : keys.version(slot)}`,
  );
}

/** Throws `invalid_argument` for what no record can say, and `object_too_large`. */
export function recordBytes(version: StateVersion): Uint8Array {
  const key = keys.version(version);
  const parsed = StateVersion.safeParse(version);
  if (parsed.success) return jsonBytes(key, parsed.data, RECORD_BYTES);
  const issue = parsed.error.issues[0]!;
  throw new RejectedJob('invalid_argument', `${key}: ${issue.path.join('.') || 'the whole'}: ${issue.message}`);
}

export function voidBytes(slot: Slot, at: Date): Uint8Array {
  const body: z.infer<typeof VoidVersion> = { v: 1, void: true, at: at.toISOString() };
  return jsonBytes(keys.version(slot), body, RECORD_BYTES);
}
