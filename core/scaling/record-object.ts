import { randomUUID } from 'node:crypto';
import { RetryableFailure } from '../contracts/errors.ts';
import { jsonBytes, readJson } from '../ledger/json-object.ts';
import { type ObjectStore, PreconditionFailed } from '../ledger/object-store.ts';
import { emptyRecord, ScalingRecord } from './record.ts';

export interface ScalingParts {
  readonly store: ObjectStore;
  readonly clock: () => Date;
}

export interface HeldRecord {
  readonly record: ScalingRecord;
  /** Null where the store has none yet. */
  readonly etag: string | null;
}

const key = 'scaling/record.json';

/** Some thousand workers. */
const mostBytes = 2 * 1024 * 1024;

const swapAttempts = 16;

/** The record as it is; one of which nothing is written yet is empty. */
export async function readScalingRecord({ store, clock }: ScalingParts): Promise<HeldRecord> {
  const found = await readJson(store, key, ScalingRecord, mostBytes);
  return found === null ? { record: emptyRecord(clock()), etag: null } : { record: found.value, etag: found.etag };
}

/** Null where another write came first. Our own write is known by its nonce, also behind an ambiguous answer. */
export async function swapScalingRecord(
  parts: ScalingParts,
  held: HeldRecord,
  next: ScalingRecord,
): Promise<HeldRecord | null> {
  const record = { ...next, nonce: randomUUID(), updatedAt: parts.clock().toISOString() };
  const body = jsonBytes(key, record, mostBytes);
  try {
    const put = held.etag === null ? parts.store.putIfAbsent(key, body) : parts.store.putIfMatch(key, body, held.etag);
    return { record, etag: (await put).etag };
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
  }
  const found = await readScalingRecord(parts);
  return found.record.nonce === record.nonce ? found : null;
}

/** Swaps until it holds. @throws RetryableFailure `store_unavailable` where others write first again and again */
export async function changeScalingRecord(
  parts: ScalingParts,
  make: (record: ScalingRecord) => ScalingRecord,
): Promise<ScalingRecord> {
  for (let attempt = 1; attempt <= swapAttempts; attempt++) {
    const held = await readScalingRecord(parts);
    const swapped = await swapScalingRecord(parts, held, make(held.record));
    if (swapped !== null) return swapped.record;
  }
  throw new RetryableFailure('store_unavailable', `the scaling record changed under ${swapAttempts} attempts`);
}
