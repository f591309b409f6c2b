import { isDeepStrictEqual } from 'node:util';
import { RejectedJob, RetryableFailure } from '../contracts/errors.ts';
import { type StateVersion, stateUri } from '../contracts/state.ts';
import { type EncodedCheckpoint, encodeCheckpoint } from '../ledger/checkpoint.ts';
import { type ObjectStore, PreconditionFailed } from '../ledger/object-store.ts';
import { readChecked } from '../ledger/read-checked.ts';
import { checkOwned, keys, type Slot } from './keys.ts';
import type { StatesParts } from './parts.ts';
import type { Publication } from './port.ts';
import { readRecord, recordBytes } from './record.ts';
import { findNewest } from './resolve.ts';
import { listSlots } from './slots.ts';

/** Attempts at a number that others may take: each lost one means that somebody else got on. */
const ATTEMPTS = 32;

/** Records that are looked at side by side. */
const AT_ONCE = 16;

/**
 *   numbers listed ─▶ is one of them this job's? ─▶ is the newest still `after`? ─▶ tensors ─▶ record of the next number
 *        ▲                                                                                      │ taken by another
 *        └──────────────────────────────────────────────────────────────────────────────────────┘
 *
 * The record is put only if absent, and no record is ever deleted: that put is the only moment that counts.
 *   - A number has one version for all time, and numbers have no gaps: n is tried only where n - 1 is taken.
 *   - A job has one version, whoever of its owners publishes, and when: one who tries n has read every number below n
 *     and found no version of the job's there; if n itself is the job's, the put is refused and the next round finds it.
 *   - `after` was the newest when n was taken: had another version come since the listing, it would have taken n.
 *   - Tensors bear the number they are written for, so those of a number that another one won are nobody's for all time,
 *     and whoever finds them may delete them.
 */
export async function publish(parts: StatesParts, publication: Publication): Promise<StateVersion> {
  const { store } = parts;
  const { tenant, name, state, origin } = publication;
  checkOwned(tenant, name);
  const encoded = await encodeCheckpoint(state, {
    inputByteOffset: publication.inputBytes,
    textCursor: null,
    chunkTokens: publication.chunkTokens,
    engine: publication.engine,
    parent: origin.parent === null ? null : stateUri({ tenant, ...origin.parent }),
  });
  // What a job makes comes after what it began from.
  let searched = origin.parent?.name === name ? origin.parent.version : 0;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const slots = await listSlots(store, tenant, name);
    const mine = await findMade(store, publication, searched, slots.last);
    if (mine !== null) return mine;
    searched = Math.max(searched, slots.last);
    if (publication.after !== undefined) await checkNewest(store, publication, slots.live);
    const made = await take(parts, publication, { tenant, name, version: slots.last + 1 }, encoded);
    if (made !== null) return made;
  }
  throw new RetryableFailure(
    'store_unavailable',
    `${keys.name({ tenant, name })}: another version came first at each of ${ATTEMPTS} attempts to write the next one`,
  );
}

/** The version among the numbers above `above`, up to `last`, that the publication's job and generation made. */
async function findMade(
  store: ObjectStore,
  { tenant, name, origin }: Publication,
  above: number,
  last: number,
): Promise<StateVersion | null> {
  if (origin.job === null) return null;
  for (let to = last; to > above; to -= AT_ONCE) {
    const count = Math.min(AT_ONCE, to - above);
    const numbers = Array.from({ length: count }, (_, i) => to - i);
    const records = await Promise.all(numbers.map((version) => readRecord(store, { tenant, name, version })));
    for (const record of records) {
      if (record !== null && record !== 'void' && isDeepStrictEqual(record.origin.job, origin.job)) return record;
    }
  }
  return null;
}

async function checkNewest(store: ObjectStore, publication: Publication, live: readonly number[]): Promise<void> {
  const { tenant, name } = publication;
  const after = publication.after ?? null;
  if (after !== null && after.name !== name) {
    throw new RejectedJob('invalid_argument', `a version of ${name} cannot come after ${after.name}@${after.version}`);
  }
  const newest = await findNewest(store, tenant, name, live);
  if ((newest?.version ?? null) === (after?.version ?? null)) return;
  const expected = after === null ? `no version of ${name}` : `${name}@${after.version}`;
  const found = newest === null ? 'there is none' : `the newest is ${name}@${newest.version}`;
  throw new RejectedJob('state_moved', `expected ${expected} to be the newest of tenant ${tenant}; ${found}`);
}

/** Null where the number went to another. */
async function take(
  { store, clock }: StatesParts,
  publication: Publication,
  slot: Slot,
  encoded: EncodedCheckpoint,
): Promise<StateVersion | null> {
  const { state, model, engine, inputBytes, origin } = publication;
  const key = keys.checkpoint(slot, encoded.sha256);
  const version: StateVersion = {
    v: 1,
    ...slot,
    checkpoint: {
      key,
      sha256: encoded.sha256,
      bytes: encoded.bytes.length,
      tokenOffset: state.tokenOffset,
      stateSha256: encoded.stateSha256,
    },
    model,
    modelDigest: state.modelDigest,
    tokenizerDigest: state.tokenizerDigest,
    engine,
    inputBytes,
    origin,
    createdAt: clock().toISOString(),
  };
  // Before the tensors are sent: what cannot be written is refused first.
  const body = recordBytes(version);
  await putTensors(store, slot, key, encoded.bytes);
  try {
    await store.putIfAbsent(keys.version(slot), body);
    return version;
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
  }
  const standing = await readRecord(store, slot);
  // The answer to an earlier try of this very put was lost on its way.
  if (isDeepStrictEqual(standing, version)) return version;
  const others = standing === 'void' || (standing !== null && standing.checkpoint.key !== key);
  // Best effort: what is left is swept.
  if (others) await store.delete(key).catch(() => {});
  return null;
}

/** A key that exists holds these bytes, since its name has their digest; where the store damaged them, they are put anew. */
async function putTensors(store: ObjectStore, slot: Slot, key: string, bytes: Uint8Array): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    try {
      await store.putIfAbsent(key, bytes);
      return;
    } catch (error) {
      if (!(error instanceof PreconditionFailed)) throw error;
    }
    const found = await readChecked(store, key, bytes.length, (body) => {
      if (Buffer.compare(body, bytes) !== 0) throw new RejectedJob('object_corrupt', `${key} holds other bytes`);
    }).catch((error: unknown) => {
      if (error instanceof RejectedJob) return 'damaged' as const;
      throw error;
    });
    if (found !== null && found !== 'damaged') return;
    // Swept meanwhile, as the number is taken: the record's put will say so.
    if ((await readRecord(store, slot)) !== null) return;
    if (found === 'damaged') await store.delete(key);
  }
  throw new RetryableFailure('store_unavailable', `${key} in ${store.url} cannot be written whole`);
}
