import { RejectedJob } from '../contracts/errors.ts';
import type { Head } from '../contracts/head.ts';
import { limits } from '../contracts/limits.ts';
import type { OutputRecord } from '../contracts/output.ts';
import { keys } from './keys.ts';
import type { ObjectStore } from './object-store.ts';
import { decodeSegment, EMPTY_CHAIN, extendChain } from './segments.ts';

/**
 * The records that `head` commits to, from the `skip`-th on. The chain runs over all of them, also those skipped, and
 * is compared at the end: records, count and order are those that were committed, or `object_corrupt`.
 */
export async function* readOutput(store: ObjectStore, head: Head, skip: number): AsyncGenerator<OutputRecord> {
  let chain = EMPTY_CHAIN;
  let count = 0;
  for (const run of head.segments) {
    for (let seq = run.fromSeq; seq <= run.toSeq; seq++) {
      const key = keys.segment(head.jobId, seq, run.epoch);
      const found = await store.get(key, { maxBytes: limits.segmentBytes });
      if (found === null) throw new RejectedJob('object_corrupt', `${key} is missing; the head of the job names it`);
      const { lines, records } = await decodeSegment(key, found.body);
      chain = extendChain(chain, lines);
      yield* records.slice(Math.max(0, skip - count));
      count += records.length;
    }
  }
  if (chain === head.outputSha256 && count === head.position.outputCount) return;
  throw new RejectedJob(
    'object_corrupt',
    `the output of ${head.jobId} has ${count} records with digest ${chain}; its head says ${head.position.outputCount} with ${head.outputSha256}`,
  );
}
