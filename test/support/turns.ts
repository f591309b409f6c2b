import { RetryableFailure } from '@longhaul/core/contracts';
import { type ObjectInfo, type ObjectStore, PreconditionFailed } from '@longhaul/core/ledger';
import type { Random } from '../simulation/random.ts';
import { quiet } from '../simulation/scheduler.ts';
import { collect } from '../simulation/store.ts';
import type { MemoryStore } from './memory-store.ts';

/**
 * What becomes of a write:
 *   done      it happens, and is answered
 *   repeated  it happens, its answer is lost, and a second try is answered as the store then must
 *   lost      it happens, and the caller hears that the store is away
 *   late      the caller hears that the store is away, and it happens later, if it still may
 *   dies      it happens or not, and its caller is never heard of again
 */
export type Fate = 'done' | 'repeated' | 'lost' | 'late' | 'dies';

export interface Actor {
  readonly store: ObjectStore;
  readonly isDead: () => boolean;
}

/** Keys of a page of a listing: few, so that much may happen between two of them. */
const pageKeys = 3;

/** Calls of several actors on one store: one at a time, in an order that the seed alone decides. */
export class Turns {
  private readonly random: Random;
  private waiting: (() => Promise<void>)[] = [];

  constructor(random: Random) {
    this.random = random;
  }

  /** `fates`: asked before each write. */
  actor(world: MemoryStore, fates: () => Fate = () => 'done'): Actor {
    let dead = false;
    const read = <T>(effect: () => Promise<T>) =>
      new Promise<T>((resolve, reject) => {
        this.waiting.push(async () => {
          if (!dead) await effect().then(resolve, reject);
        });
      });
    const write = <T>(effect: () => Promise<T>) =>
      new Promise<T>((resolve, reject) => {
        const away = () => reject(new RetryableFailure('store_unavailable', 'injected'));
        const unheard = () => effect().then(ignore, ignoreRefusal);
        this.waiting.push(async () => {
          if (dead) return;
          const fate = fates();
          if (fate === 'repeated') await unheard();
          if (fate === 'lost') await unheard();
          if (fate === 'late') this.waiting.push(unheard);
          if (fate === 'dies') {
            dead = true;
            if (this.random.chance(0.5)) await unheard();
            return;
          }
          if (fate === 'done' || fate === 'repeated') await effect().then(resolve, reject);
          else away();
        });
      });
    const store: ObjectStore = {
      url: world.url,
      get: (key, options) => read(() => world.get(key, options)),
      head: (key) => read(() => world.head(key)),
      openRange: (key, options) => read(() => world.openRange(key, options)),
      putIfAbsent: (key, body) => write(() => world.putIfAbsent(key, body)),
      putIfMatch: (key, body, etag) => write(() => world.putIfMatch(key, body, etag)),
      putStreamIfAbsent: (key, body) => write(() => world.putStreamIfAbsent(key, body)),
      async *list(prefix) {
        for (let last = ''; ; ) {
          const page: readonly ObjectInfo[] = await read(async () =>
            (await collect(world.list(prefix))).filter(({ key }) => key > last).slice(0, pageKeys),
          );
          yield* page;
          if (page.length < pageKeys) return;
          last = page.at(-1)!.key;
        }
      },
      delete: (key) => write(() => world.delete(key)),
      close: async () => {},
    };
    return { store, isDead: () => dead };
  }

  /** Until nobody waits for a turn any more. */
  async play(): Promise<void> {
    for (;;) {
      await quiet();
      if (this.waiting.length === 0) return;
      const [next] = this.waiting.splice(this.random.below(this.waiting.length), 1);
      await next!();
    }
  }
}

const ignore = () => {};
const ignoreRefusal = (error: unknown) => {
  if (!(error instanceof PreconditionFailed)) throw error;
};
