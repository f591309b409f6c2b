import type { JobId } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import { droppedHead, type HeldHead, type LedgerParts, readHead, swapHead } from './head-object.ts';
import { jsonBytes } from './json-object.ts';
import { keys } from './keys.ts';
import { unmark } from './marker.ts';
import { PreconditionFailed } from './object-store.ts';
import { unmarkOwned } from './owned-jobs.ts';
import { listPins, pinnedKeys } from './pins.ts';

/**
 * Whatever is deleted of a job is first claimed in its head, by compare-and-swap: so a redrive, a pin or another sweep
 * comes either before the claim, and then the claim fails, or after it, and then it finds the job as the claim says.
 *
 *   state        head names no checkpoint ─▶ pins listed ─▶ checkpoints deleted, pinned ones stay
 *   everything   no pins ─▶ head 'everything': the job is not found any more ─▶ no pins ─▶ objects, markers, spec, head
 *
 * A crash in between is gone on with by the next sweep. The spec goes before the head, so that a job submitted again
 * under the id meets the claim, and is refused, until nothing of the old one is left. Deletes are not conditional: one
 * that arrives after that, by minutes, would meet the new job. This is the only place where time is trusted; an id comes
 * back days after the end of its job, if ever.
 */
export async function dropState(parts: LedgerParts, held: HeldHead): Promise<readonly string[]> {
  const claimed = await swapHead(parts, held, {
    ...held.head,
    dropped: 'state',
    checkpoint: null,
    restore: null,
    nonce: parts.nonce(),
  });
  if (claimed === null) return [];
  const { jobId } = held.head;
  const pinned = await pinnedKeys(parts, jobId);
  return await deleteAll(parts, keys.checkpoints(jobId), (key) => !pinned.has(key));
}

export async function dropJob(parts: LedgerParts, held: HeldHead): Promise<readonly string[]> {
  const { jobId, generation, dropped } = held.head;
  const isPinned = async () => (await listPins(parts, jobId)).length > 0;
  if (await isPinned()) return [];
  if (dropped !== 'everything') {
    const next = { ...held.head, checkpoint: null, restore: null, nonce: parts.nonce() };
    const claimed = await swapHead(parts, held, { ...next, dropped: 'everything' });
    // A pin that came just before the claim holds: the job waits for its end.
    if (claimed === null || (await isPinned())) return [];
  }
  const [spec, head] = [keys.spec(jobId), keys.head(jobId)];
  const gone = await deleteAll(parts, keys.job(jobId), (key) => key !== spec && key !== head);
  for (let g = Math.max(0, generation - MARKERS_BACK); g <= generation + 1; g++) {
    await unmark(parts, 'open', jobId, g);
    await unmark(parts, 'quarantined', jobId, g);
  }
  await unmarkOwned(parts, jobId);
  await parts.store.delete(spec);
  await parts.store.delete(head);
  return [...gone, spec, head];
}

/** Generations whose markers may be left: listing jobs has long removed those before. */
const MARKERS_BACK = 2;

/** What a crashed submit or a late write left of a job without a head, where all of it is from before `before`. */
export async function dropLeftovers(parts: LedgerParts, jobId: JobId, before: Date): Promise<readonly string[]> {
  let found = false;
  for await (const { modifiedAt } of parts.store.list(keys.job(jobId))) {
    if (modifiedAt.getTime() >= before.getTime()) return [];
    found = true;
  }
  if (!found) return [];
  const key = keys.head(jobId);
  try {
    await parts.store.putIfAbsent(key, jsonBytes(key, droppedHead(parts, jobId), limits.headBytes));
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
    return []; // submitted again at this moment
  }
  const held = await readHead(parts, jobId);
  return held === null || held.head.dropped !== 'everything' ? [] : await dropJob(parts, held);
}

async function deleteAll(
  parts: LedgerParts,
  prefix: string,
  wanted: (key: string) => boolean,
): Promise<readonly string[]> {
  const gone: string[] = [];
  for await (const { key } of parts.store.list(prefix)) {
    if (!wanted(key)) continue;
    await parts.store.delete(key);
    gone.push(key);
  }
  return gone;
}
