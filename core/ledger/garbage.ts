import { type Head, hasEnded } from '../contracts/head.ts';
import type { JobId } from '../contracts/job.ts';
import type { JobResult } from '../contracts/result.ts';
import type { Retention } from '../contracts/retention.ts';
import { dropJob, dropLeftovers, dropState } from './drop-job.ts';
import { type HeldHead, type LedgerParts, readHead } from './head-object.ts';
import { keys, seqAndEpoch } from './keys.ts';
import type { ObjectStore } from './object-store.ts';
import { pinnedKeys } from './pins.ts';
import { readResult } from './settle.ts';

export interface GarbageOptions {
  readonly now?: Date;
  /** Null: nothing that a head or a result names goes. */
  readonly retention?: Retention | null;
  /** Age of the newest object of a job without a head, from which on it is what a crash left. Null: such jobs stay. */
  readonly leftoverHours?: number | null;
}

const DAY_MS = 24 * 3600 * 1000;

/**
 * Deletes checkpoints and segments of a job that nothing can name any more: not named by head, result or pin, and written
 * for a commit that can no longer happen (the job has ended, an older epoch, or a seq that the head has passed). Then what
 * the retention says of a job that has ended. Returns the keys deleted.
 *
 * Safe beside a running owner. Objects are listed first, then the head is read, then the pins:
 *   - what an owner is about to commit has the head's epoch, or a later one, and a later seq than the head's: it stays;
 *   - what is listed with an older epoch, or a seq that the head has reached, and is not named by that head, is never
 *     named again: a commit names its own new objects, and a fall-back, a redrive or an end what the head before named;
 *   - a pin that holds was put before the head stopped naming its checkpoint (see `pin`), so the listing has it.
 */
export async function collectGarbage(
  store: ObjectStore,
  jobId: JobId,
  options: GarbageOptions = {},
): Promise<readonly string[]> {
  const now = options.now ?? new Date();
  const parts: LedgerParts = { store, clock: () => now, nonce: () => crypto.randomUUID() };
  const listed: string[] = [];
  for (const prefix of [keys.checkpoints(jobId), keys.segments(jobId)]) {
    for await (const info of store.list(prefix)) listed.push(info.key);
  }
  const held = await readHead(parts, jobId);
  if (held === null) {
    const hours = options.leftoverHours ?? null;
    return hours === null ? [] : await dropLeftovers(parts, jobId, new Date(now.getTime() - hours * 3600 * 1000));
  }
  const { head } = held;
  if (head.dropped === 'everything') return await dropJob(parts, held);
  const result = await readResult(parts, jobId, head.generation);
  const pinned = await pinnedKeys(parts, jobId);
  const named = namedBy(head, result);
  const dead = listed.filter((key) => {
    const made = seqAndEpoch(key);
    if (made === null || named.has(key) || pinned.has(key)) return false;
    return hasEnded(head.status) || made.epoch < head.epoch || made.seq <= head.seq;
  });
  for (const key of dead) await store.delete(key);
  return [...dead, ...(await retire(parts, held, options.retention ?? null, now))];
}

/** What its retention says of a job. Its end is when the head was written last. */
async function retire(
  parts: LedgerParts,
  held: HeldHead,
  retention: Retention | null,
  now: Date,
): Promise<readonly string[]> {
  const { head } = held;
  if (retention === null || !hasEnded(head.status)) return [];
  const { jobDays, stateDays } = retention;
  if (isOlder(head, jobDays, now)) return await dropJob(parts, held);
  if (isOlder(head, stateDays, now) && head.dropped === 'nothing') return await dropState(parts, held);
  return [];
}

/** Whether an ended job's end lies so many days back. */
export function isOlder(head: Head, days: number | null, now: Date): boolean {
  return days !== null && now.getTime() - Date.parse(head.updatedAt) >= days * DAY_MS;
}

function namedBy(head: Head, result: JobResult | null): ReadonlySet<string> {
  const named = new Set<string>();
  const checkpoints = [head.checkpoint, head.restore?.checkpoint ?? null];
  if (head.dropped === 'nothing') checkpoints.push(result?.checkpoint ?? null);
  for (const checkpoint of checkpoints) if (checkpoint !== null) named.add(checkpoint.key);
  for (const { segments } of result === null ? [head] : [head, result]) {
    for (const run of segments) {
      for (let seq = run.fromSeq; seq <= run.toSeq; seq++) named.add(keys.segment(head.jobId, seq, run.epoch));
    }
  }
  return named;
}
