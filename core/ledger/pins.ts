import { LonghaulError, RejectedJob } from '../contracts/errors.ts';
import type { CheckpointRef, Head } from '../contracts/head.ts';
import type { JobId, JobSpec } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import { Pin, PinName } from '../contracts/pin.ts';
import { type LedgerParts, readOrCreateHead } from './head-object.ts';
import { jsonBytes, readJson } from './json-object.ts';
import { keys } from './keys.ts';
import { PreconditionFailed } from './object-store.ts';

/**
 * A pin keeps a checkpoint from being deleted. It is put first; then the head is read again, and the pin holds only if
 * the head still names the checkpoint.
 *
 * No interleaving deletes a pinned checkpoint. Everybody who deletes one does so in this order: a head that does not
 * name it is in the store ─▶ pins are listed ─▶ it is deleted, unless a pin names it. A head that has stopped naming a
 * checkpoint never names it again: a commit names a new one, a fall-back one that the head before named, and so a
 * redrive or an end. So if a pin holds, its put came before a read of a head that named the checkpoint, that read came
 * before the head that no longer does, and that one before the listing: the listing has the pin.
 *
 * A pin that does not hold is replaced by one of the newest checkpoint. A crash in between leaves a pin that holds or
 * not; `pin` again under the same name says which. Two calls under one name must not overlap.
 */
export async function pin(parts: LedgerParts, spec: JobSpec, name: string): Promise<Pin> {
  const key = keyOf(spec.jobId, name);
  for (let mine: string | null = null; ; ) {
    const { head } = await readOrCreateHead(parts, spec);
    const { checkpoint } = head;
    if (checkpoint === null) {
      throw new LonghaulError('pin_not_found', `${spec.jobId} has no checkpoint yet that ${name} could pin`);
    }
    const made = Pin.parse({ v: 1, name, jobId: spec.jobId, checkpoint, at: parts.clock().toISOString() });
    const body = jsonBytes(key, made, limits.pinBytes);
    let standing = made;
    try {
      const put: { readonly etag: string } =
        mine === null ? await parts.store.putIfAbsent(key, body) : await parts.store.putIfMatch(key, body, mine);
      mine = put.etag;
    } catch (error) {
      if (!(error instanceof PreconditionFailed)) throw error;
      mine = null;
      const found = await readJson(parts.store, key, Pin, limits.pinBytes);
      if (found === null) continue;
      standing = found.value;
    }
    if (names((await readOrCreateHead(parts, spec)).head, standing.checkpoint)) return standing;
    if (standing !== made) {
      throw new LonghaulError(
        'pin_exists',
        `${name} of ${spec.jobId} pins ${standing.checkpoint.key} already; unpin it or choose another name`,
      );
    }
  }
}

export async function unpin(parts: LedgerParts, jobId: JobId, name: string): Promise<void> {
  const key = keyOf(jobId, name);
  if ((await parts.store.head(key)) === null) throw new LonghaulError('pin_not_found', `${jobId} has no pin ${name}`);
  await parts.store.delete(key);
}

export async function listPins(parts: LedgerParts, jobId: JobId): Promise<readonly Pin[]> {
  const pins: Pin[] = [];
  for await (const { key } of parts.store.list(keys.pins(jobId))) {
    const found = await readJson(parts.store, key, Pin, limits.pinBytes);
    if (found !== null) pins.push(found.value);
  }
  return pins;
}

/** Keys of the checkpoints that pins name. */
export async function pinnedKeys(parts: LedgerParts, jobId: JobId): Promise<ReadonlySet<string>> {
  return new Set((await listPins(parts, jobId)).map((one) => one.checkpoint.key));
}

/** Whether the head names this checkpoint: as the newest, or as the one to go back to. */
function names(head: Head, { key }: CheckpointRef): boolean {
  return head.checkpoint?.key === key || head.restore?.checkpoint.key === key;
}

function keyOf(jobId: JobId, name: string): string {
  const parsed = PinName.safeParse(name);
  if (parsed.success) return keys.pin(jobId, parsed.data);
  throw new RejectedJob(
    'invalid_argument',
    `a pin's name is 1 to 63 of a-z A-Z 0-9 _ -, found ${JSON.stringify(name).slice(0, 120)}`,
  );
}
