import type { ObjectStore } from '../ledger/object-store.ts';

/** What states are made of: the store, and where time comes from. */
export interface StatesParts {
  readonly store: ObjectStore;
  readonly clock: () => Date;
}
