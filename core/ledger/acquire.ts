import { RetryableFailure } from '../contracts/errors.ts';
import { type Head, hasEnded } from '../contracts/head.ts';
import type { JobSpec } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import type { JobResult } from '../contracts/result.ts';
import { type HeldHead, type LedgerParts, readOrCreateHead, swapHead } from './head-object.ts';
import { keys } from './keys.ts';
import { holdLease } from './lease.ts';
import type { Acquired, Ending } from './port.ts';
import { cancelled, expired, failed, finishHead, readResult, settle } from './settle.ts';
import { marked, whereIs } from './timeline.ts';

/** Each lost attempt means that another worker took the same job at the same moment. */
const ATTEMPTS = 32;

/**
 * Takes a job, or ends it where its end is due: a result without a finished head, a cancel mark, a deadline, or too many
 * attempts in a row that brought nothing.
 */
export async function acquire(parts: LedgerParts, spec: JobSpec, owner: string): Promise<Acquired> {
  const { jobId } = spec;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const held = await readOrCreateHead(parts, spec);
    const { head } = held;
    if (hasEnded(head.status)) return { kind: 'settled', head, spec };

    const result = await readResult(parts, jobId, head.generation);
    if (result !== null) return { kind: 'settled', head: (await finishHead(parts, spec, result)).head, spec };

    const due = await endThatIsDue(parts, spec, head);
    // Also before ending it: the takeover fences an owner that is still at work, whose commits would outrun the result.
    const taken = await takeOver(parts, held, owner, due === null ? 1 : 0);
    if (taken === null) continue;
    if (due === null) return { kind: 'lease', lease: holdLease(parts, spec, taken), spec };
    const ended = await settle(parts, spec, due(taken.head));
    return { kind: 'settled', head: ended.held.head, spec };
  }
  throw new RetryableFailure('store_unavailable', `${jobId} was taken by others at each of ${ATTEMPTS} attempts`);
}

/**
 * Ends a job whose deadline has passed, for whoever sweeps. An owner at work sees the deadline itself and commits what it
 * has, so a running job is only taken from it `graceMs` after the deadline.
 */
export async function expire(parts: LedgerParts, spec: JobSpec, graceMs: number): Promise<Ending> {
  const { jobId } = spec;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const held = await readOrCreateHead(parts, spec);
    const { head } = held;
    if (hasEnded(head.status)) return { outcome: 'ended', head };
    const result = await readResult(parts, jobId, head.generation);
    if (result !== null) return { outcome: 'ended', head: (await finishHead(parts, spec, result)).head };
    if (!deadlinePassed(parts, head, head.status === 'running' ? graceMs : 0)) return { outcome: 'not-due', head };
    const taken = await takeOver(parts, held, 'expiry', 0);
    if (taken === null) continue;
    const ended = await settle(parts, spec, expired(parts, spec, taken.head));
    return { outcome: 'ended', head: ended.held.head };
  }
  throw new RetryableFailure('store_unavailable', `${jobId} was taken by others at each of ${ATTEMPTS} attempts`);
}

/**
 * Ends a job whose end is due, for whoever sweeps, and never takes one to run. `seen` was read before its reader made
 * sure that no worker has the job: a head that was written since is the mark of somebody at work, and stays.
 */
export async function endIfDue(parts: LedgerParts, spec: JobSpec, seen: Head): Promise<Ending> {
  const held = await readOrCreateHead(parts, spec);
  const { head } = held;
  if (hasEnded(head.status)) return { outcome: 'ended', head };
  const result = await readResult(parts, spec.jobId, head.generation);
  if (result !== null) return { outcome: 'ended', head: (await finishHead(parts, spec, result)).head };
  if (head.nonce !== seen.nonce) return { outcome: 'not-due', head };
  const due = await endThatIsDue(parts, spec, head);
  if (due === null) return { outcome: 'not-due', head };
  const taken = await takeOver(parts, held, 'sweep', 0);
  if (taken === null) return { outcome: 'not-due', head };
  const ended = await settle(parts, spec, due(taken.head));
  return { outcome: 'ended', head: ended.held.head };
}

/** The next epoch, and with it the fence. Null where somebody else came first. */
async function takeOver(parts: LedgerParts, held: HeldHead, owner: string, attempts: 0 | 1): Promise<HeldHead | null> {
  const { head } = held;
  const epoch = head.epoch + 1;
  const at = parts.clock().toISOString();
  return await swapHead(parts, held, {
    ...head,
    status: 'running',
    epoch,
    owner,
    nonce: parts.nonce(),
    stuckAttempts: head.stuckAttempts + attempts,
    stats: { ...head.stats, attempts: head.stats.attempts + attempts },
    // Whoever only ends a job does no work on it.
    timeline:
      attempts === 0
        ? head.timeline
        : marked(head.timeline, { kind: 'taken', owner, ...whereIs({ ...head, epoch }, at) }),
    updatedAt: at,
  });
}

/** What makes the result of the end that is due; null where the job may run. The user's word goes first. */
async function endThatIsDue(
  parts: LedgerParts,
  spec: JobSpec,
  head: Head,
): Promise<((head: Head) => JobResult) | null> {
  if ((await parts.store.head(keys.cancel(spec.jobId, head.generation))) !== null) {
    return (taken) => cancelled(parts, spec, taken);
  }
  if (deadlinePassed(parts, head, 0)) return (taken) => expired(parts, spec, taken);
  if (head.stuckAttempts < limits.stuckAttempts) return null;
  const message = `${head.stuckAttempts} attempts in a row ended without a commit after seq ${head.seq}, token ${head.position.tokenOffset}; the limit is ${limits.stuckAttempts}`;
  const at = parts.clock().toISOString();
  return (taken) => failed(parts, spec, taken, { code: 'stuck', message, at });
}

function deadlinePassed(parts: LedgerParts, { expiresAt }: Head, graceMs: number): boolean {
  return expiresAt !== null && parts.clock().getTime() >= Date.parse(expiresAt) + graceMs;
}
