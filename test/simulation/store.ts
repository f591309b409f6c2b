import { type ObjectStore, PreconditionFailed } from '@longhaul/core/ledger';
import type { MemoryStore } from '../support/memory-store.ts';
import type { CallKind } from './faults.ts';
import type { Network } from './network.ts';
import type { Random } from './random.ts';
import type { Process } from './scheduler.ts';

const short = (key: string) => key.replace(/^jobs\/[^/]+\//, '').replace(/-[0-9a-f]{64}/, '');

/** The store as one process reaches it. */
export function storeOf(world: MemoryStore, network: Network, process: Process, random: Random): ObjectStore {
  /** By key: where it was spoilt last. */
  const spoilt = new Map<string, number>();
  const call = <T>(
    kind: CallKind,
    what: string,
    key: string,
    effect: () => Promise<T>,
    spoil?: (value: T, fault: 'damaged' | 'truncated') => T,
  ) =>
    network.call(process, {
      service: 'store',
      kind,
      what: `${what} ${short(key)}`,
      effect,
      refusal: () => new PreconditionFailed(key, 'injected'),
      ...(spoil !== undefined && { spoil }),
    });
  return {
    url: world.url,
    get: (key, options) =>
      call(
        'read',
        'get',
        key,
        () => world.get(key, options),
        (found, fault) => spoil(random, spoilt, key, found, fault),
      ),
    head: (key) => call('read', 'head', key, () => world.head(key)),
    openRange: (key, options) => call('read', 'range', key, () => world.openRange(key, options)),
    putIfAbsent: (key, body) => call('conditional', 'create', key, () => world.putIfAbsent(key, body)),
    putIfMatch: (key, body, etag) => call('conditional', 'swap', key, () => world.putIfMatch(key, body, etag)),
    putStreamIfAbsent: (key, body) => world.putStreamIfAbsent(key, body),
    async *list(prefix) {
      yield* await call('read', 'list', prefix, () => collect(world.list(prefix)));
    },
    delete: (key) => call('write', 'delete', key, () => world.delete(key)),
    close: async () => {},
  };
}

export async function collect<T>(all: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const one of all) found.push(one);
  return found;
}

type Stored = { body: Uint8Array<ArrayBuffer>; etag: string } | null;

/**
 * An object of JSON is only ever cut short: that nothing else happens to it is its transport's to see. Never twice in a row
 * alike: the same bytes from two transfers are what is stored.
 */
function spoil(
  random: Random,
  spoilt: Map<string, number>,
  key: string,
  found: Stored,
  fault: 'damaged' | 'truncated',
): Stored {
  if (found === null || found.body.length === 0) return found;
  const drawn = random.below(found.body.length);
  const at = drawn === spoilt.get(key) ? (drawn + 1) % found.body.length : drawn;
  spoilt.set(key, at);
  if (fault === 'truncated' || key.endsWith('.json')) return { ...found, body: found.body.slice(0, at) };
  const body = Uint8Array.from(found.body);
  body[at]! ^= 0x40;
  return { ...found, body };
}
