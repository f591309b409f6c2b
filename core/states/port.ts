import type { StateName, StateOrigin, StatePoint, StateRef, StateVersion } from '../contracts/state.ts';
import type { StateTensors } from '../ledger/port.ts';

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
   * `state_moved` unless this is the newest version of the name at that moment (null: there is none yet); undefined: any.
   * What an append began from, so that no other append is silently left behind.
   */
  readonly after?: StatePoint | null;
}

export interface StateSummary {
  readonly name: StateName;
  readonly newest: StateVersion;
  readonly versions: number;
}

/**
 * The states that a tenant owns, by name and version, in the ledger's store:
 *
 *   states/{tenant}/{name}/{version}.json            the version, written once
 *   states/{tenant}/{name}/ckpt/{sha256}.safetensors its tensors, written before it
 *   states/{tenant}/{name}/pins/{version}.json       while it must not be removed
 *
 * Versions are given in order by put-if-absent; a name whose versions were all removed goes on counting where it was.
 */
export interface States {
  /**
   * Writes the next version. Again for the same job and generation: the version that it made. Crash-safe: tensors that no
   * version names are what a crash left, and are swept.
   */
  publish(publication: Publication): Promise<StateVersion>; // state_moved
  resolve(tenant: string, ref: StateRef): Promise<StateVersion>; // state_not_found
  /** Verified against its digests before a number is used: `checkpoint_corrupt`. */
  read(version: StateVersion): Promise<StateTensors>;
  /** By name. */
  list(tenant: string): AsyncIterable<StateSummary>;
  /** Oldest first. */
  versions(tenant: string, name: StateName): Promise<readonly StateVersion[]>; // state_not_found
  /** The same state as the first version of another name: it shares nothing with the first from then on. */
  fork(tenant: string, from: StateRef, name: StateName): Promise<StateVersion>; // state_not_found, state_exists
  pin(tenant: string, ref: StateRef): Promise<StateVersion>;
  unpin(tenant: string, ref: StateRef): Promise<StateVersion>;
  pinned(tenant: string, name: StateName): Promise<ReadonlySet<number>>;
  /** One version, or with `version: null` all of the name. A pinned one is `state_pinned`, and then nothing is removed. */
  remove(tenant: string, ref: StateRef): Promise<readonly StateVersion[]>;
}
