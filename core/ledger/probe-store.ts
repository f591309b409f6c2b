import { randomUUID } from 'node:crypto';
import { LonghaulError } from '../contracts/errors.ts';
import { type ObjectStore, PreconditionFailed } from './object-store.ts';

const RACERS = 8;
const encode = (text: string) => new TextEncoder().encode(text);

/**
 * Proves at start-up what every promise stands on: conditional writes that really refuse, exactly one winner of a race,
 * and reads that see the last write. Throws `store_unsafe` naming what did not hold; `store_unavailable` or
 * `store_denied` where the store cannot be used at all. Leaves nothing behind.
 */
export async function probeStore(store: ObjectStore): Promise<void> {
  const dir = `probe/${randomUUID()}`;
  const keys = ['once', 'race', 'absent'].map((name) => `${dir}/${name}`);
  const [once, race, absent] = keys as [string, string, string];
  // Asks first: a store that is away is told by one call, and there is nothing to clean up.
  await store.head(once);
  try {
    const first = await store.putIfAbsent(once, encode('first'));
    await refused(store, 'a put-if-absent over an existing object', async () => {
      await store.putIfAbsent(once, encode('second'));
    });
    await reads(store, once, 'first', first.etag);

    const second = await store.putIfMatch(once, encode('second'), first.etag);
    await reads(store, once, 'second', second.etag);
    await refused(store, 'a put-if-match with a stale ETag', async () => {
      await store.putIfMatch(once, encode('third'), first.etag);
    });
    await reads(store, once, 'second', second.etag);
    await refused(store, 'a put-if-match on an absent object', async () => {
      await store.putIfMatch(absent, encode('any'), second.etag);
    });

    const runs = Array.from({ length: RACERS }, async (_, racer) => {
      try {
        await store.putIfAbsent(race, encode(`racer ${racer}`));
        return racer;
      } catch (error) {
        if (error instanceof PreconditionFailed) return null;
        throw error;
      }
    });
    const settled = await Promise.allSettled(runs);
    const broken = settled.find((run) => run.status === 'rejected');
    if (broken !== undefined) throw broken.reason;
    const winners = settled.flatMap((run) => (run.status === 'fulfilled' && run.value !== null ? [run.value] : []));
    if (winners.length !== 1) {
      throw unsafe(store, `${winners.length} of ${RACERS} concurrent put-if-absent calls won; exactly one must`);
    }
    await reads(store, race, `racer ${winners[0]}`, null);
  } finally {
    for (const key of keys) await store.delete(key).catch(() => {});
  }
}

async function refused(store: ObjectStore, what: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (error instanceof PreconditionFailed) return;
    throw error;
  }
  throw unsafe(store, `${what} was carried out; it must be refused`);
}

async function reads(store: ObjectStore, key: string, text: string, etag: string | null): Promise<void> {
  const found = await store.get(key, { maxBytes: 1024 });
  const body = found === null ? 'nothing' : JSON.stringify(new TextDecoder().decode(found.body));
  if (body !== JSON.stringify(text)) throw unsafe(store, `a read after a write found ${body}, expected "${text}"`);
  if (etag !== null && found?.etag !== etag) {
    throw unsafe(store, `the ETag of a read is ${found?.etag}, that of the write before it ${etag}`);
  }
}

function unsafe(store: ObjectStore, found: string): LonghaulError {
  return new LonghaulError('store_unsafe', `${store.url} does not keep the promises that longhaul needs: ${found}`);
}
