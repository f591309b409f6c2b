import { RejectedJob } from '../contracts/errors.ts';
import type { Head } from '../contracts/head.ts';
import { limits } from '../contracts/limits.ts';
import type { OutputRecord } from '../contracts/output.ts';
import { keys } from './keys.ts';
import type { ObjectStore } from './object-store.ts';
import { readChecked } from './read-checked.ts';
import { decodeSegment, EMPTY_CHAIN, extendChain } from './segments.ts';

/**
 * The records that a head commits to, from the `skip`-th on. The chain runs over all of them, also those skipped, and
 * is compared at the end: records, count and order are those that were committed, or `object_corrupt`.
 *
 * A job whose checkpoint was lost goes back, and its segments behind that point are swept, also while they are read
 * here. A segment that is gone and that the newest head no longer names is no damage: reading begins anew with that head,
 * gives each record once, and proves that those given before are the same again. It ends where that head's output does.
 */
export async function* readOutput(
  store: ObjectStore,
  first: Head,
  newest: () => Promise<Head | null>,
  skip: number,
): AsyncGenerator<OutputRecord> {
  let head = first;
  let next = skip;
  /** Chain over the records before `next`, once any were given. */
  let given: string | null = null;
  for (;;) {
    let chain = EMPTY_CHAIN;
    let count = 0;
    let missing: string | null = null;
    for (const key of segmentsOf(head)) {
      const found = await readChecked(store, key, limits.segmentBytes, (body) => decodeSegment(key, body));
      if (found === null) {
        missing = key;
        break;
      }
      const { lines, records } = found.value;
      for (const [i, record] of records.entries()) {
        chain = extendChain(chain, [lines[i]!]);
        count += 1;
        if (count === next && given !== null && given !== chain) {
          throw new RejectedJob('object_corrupt', `the first ${count} records of ${head.jobId} came again as others`);
        }
        if (count <= next) continue;
        yield record;
        next = count;
        given = chain;
      }
    }
    if (missing !== null) {
      const changed = await newest();
      if (changed === null || [...segmentsOf(changed)].includes(missing)) {
        throw new RejectedJob('object_corrupt', `${missing} is missing; the head of the job names it`);
      }
      head = changed;
      continue;
    }
    if (chain === head.outputSha256 && count === head.position.outputCount) return;
    throw new RejectedJob(
      'object_corrupt',
      `the output of ${head.jobId} has ${count} records with digest ${chain}; its head says ${head.position.outputCount} with ${head.outputSha256}`,
    );
  }
}

/** Keys of the segments that a head names, in order. */
function* segmentsOf({ jobId, segments }: Head): Generator<string> {
  for (const { fromSeq, toSeq, epoch } of segments) {
    for (let seq = fromSeq; seq <= toSeq; seq++) yield keys.segment(jobId, seq, epoch);
  }
}
