import { type Batch, type BatchStream, batchHasEnded, createBatches } from '@longhaul/core/batches';
import { createFiles } from '@longhaul/core/files';
import type { ObjectStore } from '@longhaul/core/ledger';

/** The file of an ended batch, or what is recorded by now of one that goes on: whole lines in either case. */
export async function* batchOutput(
  store: ObjectStore,
  { spec, head }: Batch,
  stream: BatchStream,
): AsyncGenerator<Uint8Array, void> {
  if (!batchHasEnded(head.status)) {
    yield* createBatches(store).read(spec.tenant, spec.id, stream);
    return;
  }
  const fileId = stream === 'output' ? head.outputFileId : head.errorFileId;
  if (fileId !== null) yield* (await createFiles(store).read(spec.tenant, fileId)).stream;
}
