import type { ObjectStore } from '../ledger/object-store.ts';
import { fileContents, fileKeys } from './file.ts';

export interface FileSweepOptions {
  readonly now?: () => Date;
  /** Hours after which a content without a record is what a crash left. */
  readonly leftoverHours?: number;
  readonly signal?: AbortSignal;
}

/** Deletes what uploads and deletes that died left behind; returns how many contents went. */
export async function sweepFiles(store: ObjectStore, options: FileSweepOptions = {}): Promise<number> {
  const now = (options.now ?? (() => new Date()))();
  const before = now.getTime() - (options.leftoverHours ?? 24) * 3600 * 1000;
  let gone = 0;
  for await (const { key, modifiedAt } of store.list(fileContents)) {
    options.signal?.throwIfAborted();
    const [tenant, id] = key.slice(fileContents.length).split('/');
    if (tenant === undefined || id === undefined || modifiedAt.getTime() >= before) continue;
    if ((await store.head(fileKeys.record(tenant, id))) !== null) continue;
    await store.delete(key);
    gone += 1;
  }
  return gone;
}
