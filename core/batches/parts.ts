import { RejectedJob } from '../contracts/errors.ts';
import type { BatchHead, BatchSpec } from './batch.ts';
import type { BatchParts } from './head-object.ts';
import { type BatchStream, batchKeys } from './keys.ts';

/** The lines that a head says are written of one output, in bounded memory. */
export async function* readWritten(
  { store }: BatchParts,
  { tenant, id }: BatchSpec,
  head: BatchHead,
  stream: BatchStream,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for (const { fromSeq, toSeq, epoch } of head[stream].runs) {
    for (let seq = fromSeq; seq <= toSeq; seq++) {
      const key = batchKeys.part(tenant, id, stream, seq, epoch);
      const opened = await store.openRange(key, { from: 0 });
      if (opened === null) throw new RejectedJob('object_corrupt', `${key} is missing; the head of the batch names it`);
      for await (const chunk of opened.stream) {
        bytes += chunk.length;
        yield chunk;
      }
    }
  }
  if (bytes === head[stream].bytes) return;
  throw new RejectedJob(
    'object_corrupt',
    `the ${stream} of ${id} has ${bytes} bytes; its head says ${head[stream].bytes}`,
  );
}
