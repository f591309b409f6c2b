import { type DocumentSource, RejectedJob } from '@longhaul/core/contracts';
import type { ObjectStore } from '@longhaul/core/ledger';
import { openObject } from './pinned-object.ts';
import { isCode, type RawSource } from './raw-source.ts';

/** An object of any bucket that the worker may read. */
export async function openS3(
  source: Extract<DocumentSource, { kind: 's3' }>,
  openBucket: ((bucket: string) => Promise<ObjectStore>) | null,
  options: { readonly patienceMs: number; readonly signal: AbortSignal },
): Promise<RawSource> {
  const name = `s3://${source.bucket}/${source.key}`;
  if (openBucket === null) {
    throw new RejectedJob('source_forbidden', `${name}: this worker has no S3 settings`);
  }
  if (source.versionId !== null) {
    // The store's port reads current objects; the current one is pinned by its ETag all the same.
    const message = `${name}: versionId ${source.versionId} cannot be asked for; leave it out to pin the current one`;
    throw new RejectedJob('source_forbidden', message);
  }
  try {
    return await openObject(await openBucket(source.bucket), source.key, { ...options, name });
  } catch (cause) {
    if (!isCode(cause, 'store_denied')) throw cause;
    throw new RejectedJob('source_forbidden', `${name}: the worker's credentials may not read it`, { cause });
  }
}
