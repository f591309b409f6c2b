import { randomUUID } from 'node:crypto';
import { LonghaulError, RetryableFailure } from '../contracts/errors.ts';
import { Tenant } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import { jsonBytes, readJson } from '../ledger/json-object.ts';
import { type ObjectStore, PreconditionFailed } from '../ledger/object-store.ts';
import { BatchHead, BatchId, BatchSpec } from './batch.ts';
import { batchKeys } from './keys.ts';

export interface BatchParts {
  readonly store: ObjectStore;
  readonly clock: () => Date;
}

export interface HeldBatch {
  readonly head: BatchHead;
  readonly etag: string;
}

const SWAP_ATTEMPTS = 32;
export const SPEC_BYTES = 128 * 1024;

/** @throws LonghaulError `batch_not_found`, also for a batch of another tenant */
export async function readBatchSpec({ store }: BatchParts, tenant: string, id: string): Promise<BatchSpec> {
  const known = BatchId.safeParse(id).success && Tenant.safeParse(tenant).success;
  const found = known ? await readJson(store, batchKeys.spec(tenant, id), BatchSpec, SPEC_BYTES) : null;
  if (found !== null) return found.value;
  const shown = JSON.stringify(id.length > 80 ? `${id.slice(0, 77)}…` : id);
  throw new LonghaulError('batch_not_found', `there is no batch ${shown}`);
}

export async function readBatchHead({ store }: BatchParts, tenant: string, id: BatchId): Promise<HeldBatch | null> {
  const found = await readJson(store, batchKeys.head(tenant, id), BatchHead, limits.headBytes);
  return found === null ? null : { head: found.value, etag: found.etag };
}

/** Null where another write came first. Our own write is known by its nonce, also behind an ambiguous answer. */
export async function swapBatchHead(
  parts: BatchParts,
  tenant: string,
  held: HeldBatch,
  next: Omit<BatchHead, 'nonce' | 'updatedAt'>,
): Promise<HeldBatch | null> {
  const key = batchKeys.head(tenant, held.head.id);
  const head: BatchHead = { ...next, nonce: randomUUID(), updatedAt: parts.clock().toISOString() };
  try {
    const { etag } = await parts.store.putIfMatch(key, jsonBytes(key, head, limits.headBytes), held.etag);
    return { head, etag };
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
  }
  const found = await readBatchHead(parts, tenant, head.id);
  return found?.head.nonce === head.nonce ? found : null;
}

/** Swaps until it holds: `make` sees the newest head and returns the next one, or null to leave it as it is. */
export async function changeBatchHead(
  parts: BatchParts,
  spec: BatchSpec,
  make: (head: BatchHead) => Omit<BatchHead, 'nonce' | 'updatedAt'> | null,
): Promise<HeldBatch> {
  for (let attempt = 1; attempt <= SWAP_ATTEMPTS; attempt++) {
    const held = await readBatchHead(parts, spec.tenant, spec.id);
    if (held === null) throw new LonghaulError('batch_not_found', `there is no batch ${spec.id}`);
    const next = make(held.head);
    if (next === null) return held;
    const swapped = await swapBatchHead(parts, spec.tenant, held, next);
    if (swapped !== null) return swapped;
  }
  throw new RetryableFailure(
    'store_unavailable',
    `${spec.id} changed under each of ${SWAP_ATTEMPTS} attempts to swap its head`,
  );
}

/** Best effort where it is there already. */
export async function markBatch({ store }: BatchParts, { tenant, id }: BatchSpec, generation: number): Promise<void> {
  try {
    await store.putIfAbsent(batchKeys.marker(tenant, id, generation), new Uint8Array(0));
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
  }
}

const nothingWritten = { seq: 0, lines: 0, bytes: 0, runs: [] };

export function firstBatchHead(
  { clock }: BatchParts,
  { id }: BatchSpec,
  { expiresAt, maxCost }: Pick<BatchHead, 'expiresAt' | 'maxCost'>,
): BatchHead {
  return {
    v: 1,
    id,
    status: 'validating',
    generation: 0,
    epoch: 0,
    runner: null,
    heldUntil: null,
    nonce: randomUUID(),
    total: null,
    cursor: { line: 0, lineNumber: 0, offset: 0 },
    recorded: '',
    tail: '',
    output: nothingWritten,
    errors: nothingWritten,
    usage: { inputTokens: 0, cachedTokens: 0, outputTokens: 0 },
    busySeconds: 0,
    lineErrors: [],
    lineErrorCount: 0,
    outcome: null,
    pauseReason: null,
    maxCost,
    expiresAt,
    outputFileId: null,
    errorFileId: null,
    ended: null,
    trouble: null,
    inProgressAt: null,
    finalizingAt: null,
    completedAt: null,
    failedAt: null,
    expiredAt: null,
    cancellingAt: null,
    cancelledAt: null,
    updatedAt: clock().toISOString(),
  };
}
