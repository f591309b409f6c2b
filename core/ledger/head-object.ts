import { RejectedJob, RetryableFailure } from '../contracts/errors.ts';
import { Head } from '../contracts/head.ts';
import type { JobId, JobSpec } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import { jsonBytes, readJson } from './json-object.ts';
import { keys } from './keys.ts';
import { mark } from './marker.ts';
import { type ObjectStore, PreconditionFailed } from './object-store.ts';
import { markOwned } from './owned-jobs.ts';
import { EMPTY_CHAIN } from './segments.ts';

/** What the ledger is made of: the store, and where time and randomness come from. */
export interface LedgerParts {
  readonly store: ObjectStore;
  readonly clock: () => Date;
  readonly nonce: () => string;
}

/** A head and the version of it that a compare-and-swap replaces. */
export interface HeldHead {
  readonly head: Head;
  readonly etag: string;
}

/** Attempts at a compare-and-swap that others may win: each lost one means that somebody else got on. */
const SWAP_ATTEMPTS = 32;

export async function readHead(parts: LedgerParts, jobId: JobId): Promise<HeldHead | null> {
  const found = await readJson(parts.store, keys.head(jobId), Head, limits.headBytes);
  return found === null ? null : { head: found.value, etag: found.etag };
}

/**
 * The head of a job whose spec exists; made here where the submitter died between the two. A job that is being deleted
 * is `job_not_found`.
 */
export async function readOrCreateHead(parts: LedgerParts, spec: JobSpec): Promise<HeldHead> {
  for (let attempt = 1; attempt <= SWAP_ATTEMPTS; attempt++) {
    const found = await readHead(parts, spec.jobId);
    if (found?.head.dropped === 'everything') {
      throw new RejectedJob('job_not_found', `${spec.jobId} ended long ago and is being deleted`);
    }
    if (found !== null) return found;
    await createHead(parts, spec);
  }
  throw new RetryableFailure('store_unavailable', `${keys.head(spec.jobId)} is neither there nor can it be made`);
}

/** Marks the job as open, then makes its head. False where there is one. */
export async function createHead(parts: LedgerParts, spec: JobSpec): Promise<boolean> {
  const key = keys.head(spec.jobId);
  await markOwned(parts, spec);
  await mark(parts, 'open', spec.jobId, 0);
  try {
    await parts.store.putIfAbsent(key, jsonBytes(key, firstHead(parts, spec), limits.headBytes));
    return true;
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
    return false;
  }
}

/** Null where another write came first. Our own write is known by its nonce, also behind an ambiguous answer. */
export async function swapHead(parts: LedgerParts, held: HeldHead, next: Head): Promise<HeldHead | null> {
  const key = keys.head(next.jobId);
  try {
    const { etag } = await parts.store.putIfMatch(key, jsonBytes(key, next, limits.headBytes), held.etag);
    return { head: next, etag };
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
  }
  const found = await readHead(parts, next.jobId);
  return found?.head.nonce === next.nonce ? found : null;
}

/** Swaps until it holds: `make` sees the newest head and returns the next one, or null to leave it as it is. */
export async function changeHead(
  parts: LedgerParts,
  spec: JobSpec,
  make: (head: Head) => Head | null,
): Promise<HeldHead> {
  for (let attempt = 1; attempt <= SWAP_ATTEMPTS; attempt++) {
    const held = await readOrCreateHead(parts, spec);
    const next = make(held.head);
    if (next === null) return held;
    const swapped = await swapHead(parts, held, next);
    if (swapped !== null) return swapped;
  }
  throw new RetryableFailure(
    'store_unavailable',
    `${keys.head(spec.jobId)} changed under each of ${SWAP_ATTEMPTS} attempts to replace it`,
  );
}

/** Where a job stands before its first commit. */
export const START: Pick<Head, 'position' | 'checkpoint' | 'restore' | 'segments' | 'outputSha256' | 'score'> = {
  position: {
    tokenOffset: 0,
    inputByteOffset: 0,
    textCursor: null,
    inputTokens: null,
    outputCount: 0,
    nextToken: null,
  },
  checkpoint: null,
  restore: null,
  segments: [],
  outputSha256: EMPTY_CHAIN,
  score: null,
};

/** The claim on a job that has no head: it is being deleted. */
export function droppedHead(parts: LedgerParts, jobId: JobId): Head {
  return { ...firstHead(parts, { jobId, expiresAt: null }), status: 'cancelled', dropped: 'everything' };
}

function firstHead(parts: LedgerParts, spec: Pick<JobSpec, 'jobId' | 'expiresAt'>): Head {
  return {
    v: 1,
    jobId: spec.jobId,
    status: 'queued',
    generation: 0,
    epoch: 0,
    seq: 0,
    owner: null,
    nonce: parts.nonce(),
    stuckAttempts: 0,
    pins: null,
    ...START,
    stats: {
      commits: 0,
      attempts: 0,
      recomputedTokens: 0,
      checkpointBytes: 0,
      busySeconds: 0,
      redrives: 0,
      fallbacks: 0,
    },
    failure: null,
    history: [],
    fallback: null,
    timeline: [],
    expiresAt: spec.expiresAt,
    dropped: 'nothing',
    updatedAt: parts.clock().toISOString(),
  };
}
