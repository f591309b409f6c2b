import { RejectedJob, RetryableFailure } from '../contracts/errors.ts';
import type { ObjectStore } from './object-store.ts';

/**
 * An object, decoded; null where there is none. What does not decode is read once more, since a transfer may have been
 * damaged or cut short on its way: the same bytes again are what is stored, and `decode`'s refusal stands. Other bytes
 * that do not decode either say nothing of what is stored: `store_unavailable`.
 */
export async function readChecked<T>(
  store: ObjectStore,
  key: string,
  maxBytes: number,
  decode: (body: Uint8Array) => T | Promise<T>,
): Promise<{ readonly value: T; readonly etag: string } | null> {
  const first = await store.get(key, { maxBytes });
  if (first === null) return null;
  try {
    return { value: await decode(first.body), etag: first.etag };
  } catch (refusal) {
    if (!(refusal instanceof RejectedJob)) throw refusal;
    const again = await store.get(key, { maxBytes });
    if (again === null) return null;
    if (Buffer.compare(first.body, again.body) === 0) throw refusal;
    try {
      return { value: await decode(again.body), etag: again.etag };
    } catch (cause) {
      if (!(cause instanceof RejectedJob)) throw cause;
      const text = `${key} in ${store.url} came damaged twice, each time otherwise`;
      throw new RetryableFailure('store_unavailable', text, { cause });
    }
  }
}
