import type { ObjectStore } from '@longhaul/core/ledger';
import { openObject } from './pinned-object.ts';
import type { RawSource } from './raw-source.ts';

/** A document that the producer put into the ledger's own store. */
export async function openStored(
  key: string,
  store: ObjectStore,
  options: { readonly patienceMs: number; readonly signal: AbortSignal },
): Promise<RawSource> {
  return await openObject(store, key, { ...options, name: `${store.url}/${key}` });
}
