import { hasEnded } from '../contracts/head.ts';
import type { JobId } from '../contracts/job.ts';
import { type LedgerParts, readHead } from './head-object.ts';
import { type IndexName, keys, markerOf } from './keys.ts';
import { mark, unmark } from './marker.ts';
import type { ObjectStore } from './object-store.ts';

/** Heads that are looked at side by side. */
const AT_ONCE = 16;

/** Ids of the jobs that belong on the list, in key order; each once. Removes the markers that are stale. */
export async function* listMarked(parts: LedgerParts, list: IndexName, limit: number): AsyncGenerator<JobId> {
  let left = limit;
  let batch: string[] = [];
  const judged = async function* () {
    const verdicts = await Promise.all(batch.map((key) => judge(parts, list, key)));
    batch = [];
    for (const { jobId, verdict } of verdicts) {
      if (verdict !== 'listed') continue;
      left -= 1;
      yield jobId;
      if (left <= 0) return;
    }
  };
  for await (const { key } of parts.store.list(keys.index(list))) {
    if (left <= 0) return;
    batch.push(key);
    if (batch.length === Math.min(AT_ONCE, left)) yield* judged();
  }
  if (left > 0) yield* judged();
}

/**
 * Ids that begin with `prefix` and bear the mark of an open job: every open one, and some that ended a moment ago, since a sweep
 * removes the marks that a crash left. One listing, and no head is read.
 */
export async function* markedOpen(store: ObjectStore, prefix: string): AsyncGenerator<JobId> {
  for await (const { key } of store.list(`${keys.index('open')}${prefix}`)) {
    const marker = markerOf(key);
    if (marker !== null) yield marker.jobId;
  }
}

/**
 * Removes the stale markers of both lists, also those of jobs that are gone, where they are from before `before`.
 * Returns how many went.
 */
export async function sweepMarkers(parts: LedgerParts, before: Date, signal?: AbortSignal): Promise<number> {
  let removed = 0;
  for (const list of ['open', 'quarantined'] as const) {
    for await (const { key, modifiedAt } of parts.store.list(keys.index(list))) {
      signal?.throwIfAborted();
      const marker = markerOf(key);
      if (marker === null) continue;
      const { verdict } = await judge(parts, list, key);
      if (verdict === 'stale') removed += 1;
      if (verdict !== 'gone' || modifiedAt.getTime() >= before.getTime()) continue;
      await unmark(parts, list, marker.jobId, marker.generation);
      removed += 1;
      // The id may have been submitted again just now, and its submitter have found this very marker.
      const again = list === 'open' && (await parts.store.head(keys.spec(marker.jobId))) !== null;
      if (again) await mark(parts, 'open', marker.jobId, 0);
    }
  }
  return removed;
}

/**
 *   listed   the job belongs on the list
 *   early    it may yet: a submit or an end is under way, or a redrive that crashed
 *   stale    it never will, by this marker, which is removed
 *   gone     there is no such job
 */
type Verdict = 'listed' | 'early' | 'stale' | 'gone';

async function judge(
  parts: LedgerParts,
  list: IndexName,
  key: string,
): Promise<{ readonly jobId: JobId; readonly verdict: Verdict }> {
  const marker = markerOf(key);
  if (marker === null) return { jobId: '', verdict: 'early' };
  const { jobId, generation } = marker;
  let head: Awaited<ReturnType<typeof readHead>>;
  try {
    head = await readHead(parts, jobId);
  } catch (error) {
    // A head that cannot be read has not been seen to end: its reader is told so.
    if ((error as { code?: unknown }).code === 'object_corrupt')
      return { jobId, verdict: list === 'open' ? 'listed' : 'early' };
    throw error;
  }
  if (head === null) {
    // Between marker and head of a submit; the marker of a job that is gone is left to the sweep, which looks at its age.
    if ((await parts.store.head(keys.spec(jobId))) === null) return { jobId, verdict: 'gone' };
    return { jobId, verdict: list === 'open' && generation === 0 ? 'listed' : 'early' };
  }
  const { status, generation: current, dropped } = head.head;
  const listed = list === 'open' ? !hasEnded(status) : status === 'quarantined' && dropped !== 'everything';
  if (current === generation && listed) return { jobId, verdict: 'listed' };
  const stale = current > generation || (current === generation && hasEnded(status));
  if (!stale) return { jobId, verdict: 'early' };
  await unmark(parts, list, jobId, generation);
  return { jobId, verdict: 'stale' };
}
