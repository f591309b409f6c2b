import type { z } from 'zod';
import { RejectedJob } from '../contracts/errors.ts';
import type { ObjectStore } from './object-store.ts';
import { readChecked } from './read-checked.ts';

/** A JSON object of the store, checked against its schema: anything else is `object_corrupt`, naming the key. */
export async function readJson<T extends z.ZodType>(
  store: ObjectStore,
  key: string,
  schema: T,
  maxBytes: number,
): Promise<{ readonly value: z.infer<T>; readonly etag: string } | null> {
  return await readChecked(store, key, maxBytes, (body) => {
    let json: unknown;
    try {
      json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
    } catch (error) {
      throw new RejectedJob('object_corrupt', `${key} in ${store.url} is not JSON (${body.length} bytes)`, {
        cause: error,
      });
    }
    const parsed = schema.safeParse(json);
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0]!;
    throw new RejectedJob(
      'object_corrupt',
      `${key} in ${store.url} is not what it should be: ${issue.path.join('.') || 'the whole'}: ${issue.message}`,
    );
  });
}

/** Bytes of a JSON object of ours; larger than `maxBytes` is `object_too_large`, naming the key. */
export function jsonBytes(key: string, value: unknown, maxBytes: number): Uint8Array {
  const bytes = new TextEncoder().encode(`${JSON.stringify(value)}\n`);
  if (bytes.length <= maxBytes) return bytes;
  throw new RejectedJob('object_too_large', `${key} would hold ${bytes.length} bytes; the limit is ${maxBytes}`);
}
