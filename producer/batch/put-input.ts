import { createHash } from 'node:crypto';
import { LonghaulError } from '@longhaul/core/contracts';
import { derivedFileId, type FileRecord, type Files } from '@longhaul/core/files';

/**
 * Stores the lines of a batch. Under a key they are stored once, and other lines under the same key are refused.
 * @throws LonghaulError `batch_exists`
 */
export async function putBatchInput(
  files: Files,
  put: {
    readonly tenant: string;
    readonly filename: string;
    readonly body: AsyncIterable<Uint8Array>;
    readonly signal: AbortSignal;
  },
  key: string | null,
): Promise<FileRecord> {
  if (key === null) return await files.put({ ...put, purpose: 'batch' });
  const id = derivedFileId(new Date(0), put.tenant, 'batch input', key);
  const before = await files.head(put.tenant, id).catch((error: unknown) => {
    if (error instanceof LonghaulError && error.code === 'file_not_found') return null;
    throw error;
  });
  if (before === null) return await files.put({ ...put, purpose: 'batch', id });
  const hash = createHash('sha256');
  for await (const chunk of put.body) hash.update(chunk);
  if (hash.digest('hex') === before.sha256) return before;
  throw new LonghaulError(
    'batch_exists',
    `the idempotency key ${JSON.stringify(key)} named other lines before: use another key`,
  );
}
