import type { StateName, StateOrigin, StatePoint, StateRef, StateVersion } from '../contracts/state.ts';
import type { StateTensors } from '../ledger/port.ts';
import type { Prefixes } from './prefixes/port.ts';

/** What is published: a state between two documents, and what it says of itself. */
export interface Publication {
  readonly tenant: string;
  readonly name: StateName;
  readonly state: StateTensors;
  readonly model: string;
  readonly engine: string;
  readonly chunkTokens: number;
  readonly inputBytes: number;
  readonly origin: StateOrigin;
  /**
   * `state_moved` unless this is the newest version of the name at that moment (null: there is none); undefined: any.
   * What an append began from, so that no other append is silently left behind.
   */
  readonly after?: StatePoint | null;
}

export interface StateSummary {
  readonly name: StateName;
  readonly newest: StateVersion;
  /** How many there are. */
  readonly versions: number;
}

/** A version that another one goes back to; what was removed is still known by its record. */
export interface Ancestor {
  readonly version: StateVersion;
  readonly removed: boolean;
}

/**
 * The states that a tenant owns, by name and version, in the ledger's store:
 *
 *   states/{tenant}/{name}/{version}.json                      the version, written once, never deleted
 *   states/{tenant}/{name}/ckpt/{version}-{sha256}.safetensors its tensors, written before it
 *   states/{tenant}/{name}/pins/{version}.json                 whether it may be removed, by compare-and-swap
 *   states/{tenant}/{name}/removed/{version}.json              written once: the version is gone, its tensors are deleted
 *
 * Versions are given in order by put-if-absent. Since no record is ever deleted, a number is never given twice, and the
 * lineage of a state can be told when its ancestors are gone.
 *
 * Every call: `invalid_argument` for a tenant or a name that is none; what the store throws.
 */
export interface States {
  /** What those versions left for documents that begin alike. */
  readonly prefixes: Prefixes;
  /**
   * Writes the next version. Again for the same job and generation, which says the same `parent` each time: the version
   * that it made, also where that was removed meanwhile. Crash-safe: tensors that no version names are what a crash left, and are swept. After a RetryableFailure
   * it may have happened; a publication of a job may then be tried again.
   */
  publish(publication: Publication): Promise<StateVersion>; // state_moved
  resolve(tenant: string, ref: StateRef): Promise<StateVersion>; // state_not_found
  /**
   * Verified against its digests before a number is used: `checkpoint_corrupt`. `state_not_found` where it was removed
   * since it was resolved.
   */
  read(version: StateVersion): Promise<StateTensors>;
  /** The file as it is stored, verified alike: safetensors, in the format of a checkpoint. */
  readFile(version: StateVersion): Promise<Uint8Array>;
  /** By name. */
  list(tenant: string): AsyncIterable<StateSummary>;
  /** Oldest first. */
  versions(tenant: string, name: StateName): Promise<readonly StateVersion[]>; // state_not_found
  /** What a version was read on from, and that one in turn, nearest first; ends at the beginning. */
  lineage(version: StateVersion): Promise<readonly Ancestor[]>;
  /** The same state as the first version of another name: it shares nothing with the first from then on. */
  fork(tenant: string, from: StateRef, name: StateName): Promise<StateVersion>; // state_not_found, state_exists
  /** Until `unpin`, however often it was pinned. */
  pin(tenant: string, ref: StateRef): Promise<StateVersion>; // state_not_found
  /** Of a version that is not pinned: nothing happens. */
  unpin(tenant: string, ref: StateRef): Promise<StateVersion>; // state_not_found
  pinned(tenant: string, name: StateName): Promise<ReadonlySet<number>>;
  /**
   * One version, or with `version: null` all of the name, oldest first. `state_pinned`: one of them is pinned, and nothing
   * is removed, unless the pin came while others were being removed.
   */
  remove(tenant: string, ref: StateRef): Promise<readonly StateVersion[]>; // state_not_found
}
