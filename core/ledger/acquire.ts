import { RetryableFailure } from '../contracts/errors.ts';
import type { JobSpec } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import { hasEnded, type LedgerParts, readOrCreateHead, swapHead } from './head-object.ts';
import { keys } from './keys.ts';
import { holdLease } from './lease.ts';
import type { Acquired } from './port.ts';
import { cancelled, failed, finishHead, readResult, settle } from './settle.ts';

/** Each lost attempt means that another worker took the same job at the same moment. */
const ATTEMPTS = 32;

/**
 * Takes a job, or ends it where its end is due: a result without a finished head, a cancel mark, or too many attempts
 * in a row that brought nothing.
 */
export async function acquire(parts: LedgerParts, spec: JobSpec, owner: string): Promise<Acquired> {
  const { jobId } = spec;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const held = await readOrCreateHead(parts, spec);
    const { head } = held;
    if (hasEnded(head)) return { kind: 'settled', head };

    const result = await readResult(parts, jobId);
    if (result !== null) return { kind: 'settled', head: (await finishHead(parts, spec, result)).head };

    const toCancel = (await parts.store.head(keys.cancel(jobId))) !== null;
    const stuck = head.stuckAttempts >= limits.stuckAttempts;
    const attempts = toCancel || stuck ? 0 : 1;
    const now = parts.clock().toISOString();
    // Also before ending it: the takeover fences an owner that is still at work, whose commits would outrun the result.
    const taken = await swapHead(parts, held, {
      ...head,
      status: 'running',
      epoch: head.epoch + 1,
      owner,
      nonce: parts.nonce(),
      stuckAttempts: head.stuckAttempts + attempts,
      stats: { ...head.stats, attempts: head.stats.attempts + attempts },
      updatedAt: now,
    });
    if (taken === null) continue;
    if (toCancel) {
      const ended = await settle(parts, spec, cancelled(parts, spec, taken.head));
      return { kind: 'settled', head: ended.held.head };
    }
    if (stuck) {
      const message = `${head.stuckAttempts} attempts in a row ended without a commit after seq ${head.seq}, token ${head.position.tokenOffset}; the limit is ${limits.stuckAttempts}`;
      const ended = await settle(parts, spec, failed(parts, spec, taken.head, { code: 'stuck', message, at: now }));
      return { kind: 'settled', head: ended.held.head };
    }
    return { kind: 'lease', lease: holdLease(parts, spec, taken), spec };
  }
  throw new RetryableFailure('store_unavailable', `${jobId} was taken by others at each of ${ATTEMPTS} attempts`);
}
