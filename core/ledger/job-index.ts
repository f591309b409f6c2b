import { hasEnded } from '../contracts/head.ts';
import type { JobId } from '../contracts/job.ts';
import { type LedgerParts, readHead } from './head-object.ts';
import { type IndexName, keys, markerOf } from './keys.ts';
import { unmark } from './marker.ts';

/** Heads that are looked at side by side. */
const AT_ONCE = 16;

/** Ids of the jobs that belong on the list, in key order; each once. Removes the markers that are stale. */
export async function* listMarked(parts: LedgerParts, list: IndexName, limit: number): AsyncGenerator<JobId> {
  let left = limit;
  let batch: string[] = [];
  const judged = async function* () {
    const verdicts = await Promise.all(batch.map((key) => judge(parts, list, key)));
    batch = [];
    for (const jobId of verdicts) {
      if (jobId === null) continue;
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

/** The job of a marker where the head says that it belongs on the list, else null. */
async function judge(parts: LedgerParts, list: IndexName, key: string): Promise<JobId | null> {
  const marker = markerOf(key);
  if (marker === null) return null;
  const { jobId, generation } = marker;
  let head: Awaited<ReturnType<typeof readHead>>;
  try {
    head = await readHead(parts, jobId);
  } catch (error) {
    // A head that cannot be read has not been seen to end: its reader is told so.
    if ((error as { code?: unknown }).code === 'object_corrupt') return list === 'open' ? jobId : null;
    throw error;
  }
  if (head === null) {
    // Between marker and head of a submit; a job that is gone is left to the sweep, which looks at its age.
    const submitted = list === 'open' && generation === 0 && (await parts.store.head(keys.spec(jobId))) !== null;
    return submitted ? jobId : null;
  }
  const { status, generation: current, dropped } = head.head;
  const listed = list === 'open' ? !hasEnded(status) : status === 'quarantined' && dropped !== 'everything';
  if (current === generation && listed) return jobId;
  const stale = current > generation || (current === generation && hasEnded(status));
  if (stale) await unmark(parts, list, jobId, generation);
  return null;
}
