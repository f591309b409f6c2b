import { type Head, hasEnded, type JobId, limits, RejectedJob } from '@longhaul/core/contracts';
import type { Ledger } from '@longhaul/core/ledger';
import type { Ring, Whereabouts } from '@longhaul/core/queue';
import type { SweptQueue } from './ports.ts';

/**
 *   well     a worker has it, it waits for one, or the reaper brings it back
 *   rung     the queue did not know it, and now does
 *   ended    its end was due, and no worker was needed for it
 *   removed  it had ended, and its message is out of the line
 */
export type Tended = 'well' | 'rung' | 'ended' | 'removed';

export interface TendedJob {
  readonly tended: Tended;
  /** Of a job that waits for a worker; null where it has none, and for any other job. */
  readonly deadline: number | null;
  /** As it was found, or as its end left it. */
  readonly head: Head;
}

export interface TendParts {
  readonly ledger: Pick<Ledger, 'readHead' | 'endIfDue' | 'expire'>;
  readonly queue: SweptQueue;
  readonly now: Date;
  /** Also looks for what leaves no trace in the head: a cancel whose sender died before it told anybody. */
  readonly thorough: boolean;
}

/**
 * Brings queue and ledger together over one job. The ledger is the truth, so the queue is what is put right. Safe beside
 * workers and other controllers: what it does twice changes nothing, and it takes no job from a worker that has it.
 */
export async function tend(jobId: JobId, ring: Ring, { ledger, queue, now, thorough }: TendParts): Promise<TendedJob> {
  const head = await ledger.readHead(jobId);
  if (head === null)
    throw new RejectedJob('job_not_found', `${jobId} is listed as open, and the ledger has no such job`);
  // Looked up behind the head: who takes the job from now on writes another head.
  const [place = 'absent'] = await queue.whereabouts([jobId]);
  const waits = { deadline: head.expiresAt === null ? null : Date.parse(head.expiresAt) };
  if (hasEnded(head.status)) return { tended: await removed(jobId, queue, place), deadline: null, head };
  if (place === 'held') {
    // Its worker sees the deadline itself; one that does not loses the job after a grace.
    if (!deadlinePassed(head, now)) return { tended: 'well', deadline: null, head };
    const expiry = await ledger.expire(jobId);
    return { tended: expiry.outcome === 'ended' ? 'ended' : 'well', deadline: null, head: expiry.head };
  }
  if (!thorough && place !== 'absent' && !mayBeDue(head, now)) return { tended: 'well', ...waits, head };
  const ending = await ledger.endIfDue(jobId, head);
  if (ending.outcome === 'ended') {
    await removed(jobId, queue, place);
    return { tended: 'ended', deadline: null, head: ending.head };
  }
  if (place !== 'absent') return { tended: 'well', ...waits, head };
  await queue.enqueue(jobId, ring);
  return { tended: 'rung', ...waits, head };
}

/** An end leaves its traces here: a result without a finished head is left by an owner, so the head says `running`. */
function mayBeDue(head: Head, now: Date): boolean {
  return head.status === 'running' || head.stuckAttempts >= limits.stuckAttempts || deadlinePassed(head, now);
}

function deadlinePassed({ expiresAt }: Head, now: Date): boolean {
  return expiresAt !== null && now.getTime() >= Date.parse(expiresAt);
}

async function removed(jobId: JobId, queue: SweptQueue, place: Whereabouts): Promise<Tended> {
  return place === 'waiting' && (await queue.remove(jobId)) ? 'removed' : 'well';
}
