import { openStore } from '../ledger/open-store.ts';
import type { StoreOptions } from '../ledger/store-config.ts';
import { type HubSettings, hubSource } from './hub.ts';
import { type PartSource, storeSource } from './part-source.ts';

/** How to open a source: plain values, so that a thread can open its own. */
export type SourceAddress =
  | { readonly kind: 'store'; readonly url: string; readonly options: StoreOptions }
  | { readonly kind: 'hub'; readonly repo: string; readonly commit: string; readonly hub: HubSettings };

export async function openSource(address: SourceAddress): Promise<PartSource> {
  if (address.kind === 'hub') return hubSource(address.repo, address.commit, address.hub);
  return storeSource(await openStore(address.url, address.options));
}
