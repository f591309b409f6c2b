import { noSuchKey, preconditionFailed, S3Error } from './errors.ts';
import type { StoredObject } from './objects.ts';

type Headers = Readonly<Record<string, string | string[] | undefined>>;

const bare = (etag: string) => etag.trim().replace(/^W\//, '').replaceAll('"', '');
const matches = (header: string, etag: string) =>
  header.trim() === '*' || header.split(',').some((one) => bare(one) === bare(etag));

/** The check of a conditional write, run in the same tick as the write itself: that is what makes it atomic. */
export function writeCondition(headers: Headers, key: string): (current: StoredObject | undefined) => void {
  const ifMatch = text(headers['if-match']);
  const ifNoneMatch = text(headers['if-none-match']);
  if (ifNoneMatch !== null && ifNoneMatch.trim() !== '*') {
    throw new S3Error(501, 'NotImplemented', `If-None-Match of a write takes only *, not ${ifNoneMatch}`);
  }
  return (current) => {
    if (ifNoneMatch !== null && current !== undefined) throw preconditionFailed('If-None-Match');
    if (ifMatch === null) return;
    if (current === undefined) throw noSuchKey(key);
    if (!matches(ifMatch, current.etag)) throw preconditionFailed('If-Match');
  };
}

/** Of a GET or HEAD: 'send', or 'not-modified'; throws 412. The etag conditions go before the dates (RFC 9110, 13.2.2). */
export function readCondition(headers: Headers, current: StoredObject): 'send' | 'not-modified' {
  const seconds = Math.floor(current.modifiedAt / 1000) * 1000;
  const ifMatch = text(headers['if-match']);
  const unmodifiedSince = text(headers['if-unmodified-since']);
  if (ifMatch !== null) {
    if (!matches(ifMatch, current.etag)) throw preconditionFailed('If-Match');
  } else if (unmodifiedSince !== null && seconds > Date.parse(unmodifiedSince)) {
    throw preconditionFailed('If-Unmodified-Since');
  }
  const ifNoneMatch = text(headers['if-none-match']);
  if (ifNoneMatch !== null) return matches(ifNoneMatch, current.etag) ? 'not-modified' : 'send';
  const modifiedSince = text(headers['if-modified-since']);
  return modifiedSince !== null && seconds <= Date.parse(modifiedSince) ? 'not-modified' : 'send';
}

const text = (value: string | string[] | undefined) =>
  value === undefined ? null : Array.isArray(value) ? value.join(',') : value;
