import { randomBytes } from 'node:crypto';
import { type BatchId, type Validation, validateBatch } from '@longhaul/core/batches';
import { timeId } from '@longhaul/core/files';

/** The lines of a file as they would be judged, without a word to anybody. `models`: as in a batch's spec. */
export async function checkBatch(
  body: AsyncIterable<Uint8Array>,
  options: { readonly tenant: string; readonly models: readonly string[] | null; readonly signal?: AbortSignal },
): Promise<Validation> {
  const id: BatchId = `batch_${timeId(new Date(0), randomBytes(16))}`;
  const models = options.models === null ? null : [...options.models];
  const context = { id, tenant: options.tenant, endpoint: null, models };
  return await validateBatch(body, context, options.signal === undefined ? {} : { signal: options.signal });
}
