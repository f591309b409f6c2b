import { RejectedJob } from '../contracts/errors.ts';

const SEGMENT = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/;

/**
 * A key is `/`-separated segments of `[A-Za-z0-9._-]`, none beginning with a dot: the same keys work as S3 keys and as
 * paths, `..` cannot be said, and names that begin with a dot are free for a store's own bookkeeping.
 */
export function checkKey(key: string): string {
  const ok = key.length <= 900 && key.split('/').every((segment) => SEGMENT.test(segment));
  if (!ok) throw invalid('key', key);
  return key;
}

/** A prefix is the beginning of a key: whole segments, then a part of one or nothing. */
export function checkPrefix(prefix: string): string {
  const segments = prefix.split('/');
  const last = segments.pop()!;
  const ok = segments.every((segment) => SEGMENT.test(segment)) && (last === '' || SEGMENT.test(last));
  if (!ok) throw invalid('prefix', prefix);
  return prefix;
}

function invalid(what: string, found: string): RejectedJob {
  const shown = JSON.stringify(found.length > 120 ? `${found.slice(0, 120)}…` : found);
  return new RejectedJob(
    'invalid_argument',
    `object ${what} ${shown} is not allowed: segments of [A-Za-z0-9._-] that begin without a dot, separated by '/', at most 900 characters`,
  );
}
