import { hasEnded } from '../contracts/head.ts';
import type { JobId } from '../contracts/job.ts';
import { type LedgerParts, readHead } from './head-object.ts';
import { keys, seqAndEpoch } from './keys.ts';
import type { ObjectStore } from './object-store.ts';
import { pinnedKeys } from './pins.ts';
import { readResult } from './settle.ts';

/**
 * Deletes checkpoints and segments of a job that nothing can name any more: not named by head or result, and written
 * for a commit that can no longer happen (the job has ended, an older epoch, or a seq that the head has passed). Safe beside a running
 * owner: what it is about to commit has its epoch and the next seq. Returns the keys deleted.
 */
export async function collectGarbage(store: ObjectStore, jobId: JobId): Promise<readonly string[]> {
  const listed: string[] = [];
  // Listed before the head is read: what is listed and dead by that head stays dead.
  for (const prefix of [keys.checkpoints(jobId), keys.segments(jobId)]) {
    for await (const info of store.list(prefix)) listed.push(info.key);
  }
  const parts: LedgerParts = { store, clock: () => new Date(), nonce: () => '' };
  const head = (await readHead(parts, jobId))?.head ?? null;
  if (head === null) return [];
  const result = await readResult(parts, jobId, head.generation);

  const named = new Set<string>();
  if (head.restore !== null) named.add(head.restore.checkpoint.key);
  for (const key of await pinnedKeys(parts, jobId)) named.add(key);
  for (const { checkpoint, segments } of result === null ? [head] : [head, result]) {
    if (checkpoint !== null) named.add(checkpoint.key);
    for (const run of segments) {
      for (let seq = run.fromSeq; seq <= run.toSeq; seq++) named.add(keys.segment(jobId, seq, run.epoch));
    }
  }
  const dead = listed.filter((key) => {
    const made = seqAndEpoch(key);
    return (
      !named.has(key) && made !== null && (hasEnded(head.status) || made.epoch < head.epoch || made.seq <= head.seq)
    );
  });
  for (const key of dead) await store.delete(key);
  return dead;
}
