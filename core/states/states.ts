import type { StateName, StateRef, StateVersion } from '../contracts/state.ts';
import type { ObjectStore } from '../ledger/object-store.ts';
import type { StateTensors } from '../ledger/port.ts';
import { fork } from './fork.ts';
import { lineageOf } from './lineage.ts';
import type { StatesParts } from './parts.ts';
import { pin, pinned, unpin } from './pins.ts';
import type { Ancestor, Publication, StateSummary, States } from './port.ts';
import { turnedOff } from './prefixes/off.ts';
import type { Prefixes } from './prefixes/port.ts';
import { StorePrefixes } from './prefixes/prefixes.ts';
import { publish } from './publish.ts';
import { readState } from './read.ts';
import { remove } from './remove.ts';
import { listStates, resolve, versionsOf } from './resolve.ts';

export interface StatesOptions {
  readonly clock?: () => Date;
  /** Off: nothing is found in the prefix cache, and nothing is left in it. */
  readonly prefixCache?: 'on' | 'off';
}

/** The states in a ledger's store. Whoever opened the store closes it. */
export function createStates(store: ObjectStore, options: StatesOptions = {}): States {
  const prefixes = new StorePrefixes(store);
  return new StoreStates(
    { store, clock: options.clock ?? (() => new Date()) },
    options.prefixCache === 'off' ? turnedOff(prefixes) : prefixes,
  );
}

class StoreStates implements States {
  readonly prefixes: Prefixes;
  readonly #parts: StatesParts;
  readonly #store: ObjectStore;

  constructor(parts: StatesParts, prefixes: Prefixes) {
    this.prefixes = prefixes;
    this.#parts = parts;
    this.#store = parts.store;
  }

  async publish(publication: Publication): Promise<StateVersion> {
    return await publish(this.#parts, publication);
  }

  async resolve(tenant: string, ref: StateRef): Promise<StateVersion> {
    return await resolve(this.#store, tenant, ref);
  }

  async read(version: StateVersion): Promise<StateTensors> {
    return (await readState(this.#store, version)).decoded.state;
  }

  async readFile(version: StateVersion): Promise<Uint8Array> {
    return (await readState(this.#store, version)).file;
  }

  list(tenant: string): AsyncIterable<StateSummary> {
    return listStates(this.#store, tenant);
  }

  async versions(tenant: string, name: StateName): Promise<readonly StateVersion[]> {
    return await versionsOf(this.#store, tenant, name);
  }

  async lineage(version: StateVersion): Promise<readonly Ancestor[]> {
    return await lineageOf(this.#store, version);
  }

  async fork(tenant: string, from: StateRef, name: StateName): Promise<StateVersion> {
    return await fork(this.#parts, tenant, from, name);
  }

  async pin(tenant: string, ref: StateRef): Promise<StateVersion> {
    return await pin(this.#parts, tenant, ref);
  }

  async unpin(tenant: string, ref: StateRef): Promise<StateVersion> {
    return await unpin(this.#parts, tenant, ref);
  }

  async pinned(tenant: string, name: StateName): Promise<ReadonlySet<number>> {
    return await pinned(this.#store, tenant, name);
  }

  async remove(tenant: string, ref: StateRef): Promise<readonly StateVersion[]> {
    return await remove(this.#parts, tenant, ref);
  }
}
