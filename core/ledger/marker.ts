import type { JobId } from '../contracts/job.ts';
import type { LedgerParts } from './head-object.ts';
import { type IndexName, keys } from './keys.ts';
import { PreconditionFailed } from './object-store.ts';

/**
 * Small markers, so that nobody has to list all jobs: `index/open/{job}` and `index/quarantined/{job}`, with `.{n}`
 * behind the id for generation n > 0. A marker says where to look; the head says what is so.
 *
 *   submit    spec ─▶ open marker ─▶ head                          (whoever makes a missing head marks first, too)
 *   end       result ─▶ quarantined marker (where it failed) ─▶ head ended ─▶ open marker deleted
 *   redrive   open marker of generation g+1 ─▶ head queued, g+1 ─▶ quarantined marker of g deleted
 *
 * No open job is missed. A head of generation g that has not ended was made by a write before which the open marker of
 * g was put. That marker is deleted only by one who read a head that has ended in g or has a later generation, and heads
 * never come back from there: a redrive opens g+1, whose marker has another key. So a delete that is late, or that comes
 * from a process which was stopped for a day, takes nothing away from a later generation. The quarantined marker of g is
 * put before the head ends in g, and deleted only where the head is past g or ended in g otherwise.
 *
 * Markers that are left over (a crash behind any arrow) are met, judged by the head and deleted by whoever lists.
 */
export async function mark(parts: LedgerParts, list: IndexName, jobId: JobId, generation: number): Promise<void> {
  try {
    await parts.store.putIfAbsent(keys.marker(list, jobId, generation), new Uint8Array(0));
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
  }
}

/** Best effort: what is left is judged by the next one who lists. */
export async function unmark(parts: LedgerParts, list: IndexName, jobId: JobId, generation: number): Promise<void> {
  await parts.store.delete(keys.marker(list, jobId, generation)).catch(() => {});
}
