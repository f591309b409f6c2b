import { JobError, RejectedJob, RetryableFailure } from '../contracts/errors.ts';

/**
 *   refused     412: a condition did not hold
 *   conflict    409: another conditional write was under way; nothing is said about who won
 *   absent      no such key or upload
 *   past-end    416: a range begins behind the last byte
 *   transient   the same call may work in a moment, and this one may have worked: timeout, reset, 5xx, throttled
 *   denied, full, too-large, unsafe, wrong   no retry helps
 */
export type S3Outcome =
  | 'refused'
  | 'conflict'
  | 'absent'
  | 'past-end'
  | 'transient'
  | 'denied'
  | 'full'
  | 'too-large'
  | 'unsafe'
  | 'wrong';

/** Neither a status nor an answer within the time of one attempt. */
export class AttemptTimedOut extends Error {
  constructor(milliseconds: number) {
    super(`no answer within ${Math.round(milliseconds)} ms`);
    this.name = 'AttemptTimedOut';
  }
}

const DENIED = /^(AccessDenied|CredentialsProviderError|ExpiredToken|InvalidAccessKeyId|InvalidToken|SignatureDoesNot)/;
const FULL = /(QuotaExceeded|StorageFull|StorageExceeded)/;
/** 400s that speak of this one transfer, not of the request. */
const DAMAGED = /^(BadDigest|IncompleteBody|RequestTimeout|XAmzContent|InvalidDigest|InvalidPart$)/;

/**
 * The store refuses the time that a request bears. The SDK takes the store's time from each answer, so that the next
 * request is right; a HEAD has no body that could say why, and is known by the SDK's mark.
 */
export function isSkewed(error: unknown): boolean {
  const { name, $metadata } = (error ?? {}) as { name?: unknown; $metadata?: Record<string, unknown> };
  if (name === 'RequestTimeTooSkewed') return true;
  return $metadata?.['httpStatusCode'] === 403 && $metadata['clockSkewCorrected'] === true;
}

export function outcomeOf(error: unknown): S3Outcome {
  const name = String((error as { name?: unknown } | null)?.name ?? '');
  const status = (error as { $metadata?: { httpStatusCode?: number } } | null)?.$metadata?.httpStatusCode;
  if (FULL.test(name) || status === 507) return 'full';
  if (isSkewed(error)) return 'transient';
  if (DENIED.test(name) || status === 401 || status === 403) return 'denied';
  if (name === 'NoSuchBucket' || error instanceof TypeError) return 'wrong';
  if (name === 'EntityTooLarge') return 'too-large';
  switch (status) {
    case 412:
      return 'refused';
    case 409:
      return 'conflict';
    case 404:
      return 'absent';
    case 416:
      return 'past-end';
    case 304: // some old servers answer a refused conditional PUT so; none can be trusted with one
    case 501:
      return 'unsafe';
    case undefined:
    case 408:
    case 429:
      return 'transient';
    default:
      // A 2xx or 5xx whose body could not be read says nothing for certain.
      return status < 300 || status >= 500 || DAMAGED.test(name) ? 'transient' : 'wrong';
  }
}

/** What a call ends with whose time is refused although the SDK has corrected it. */
export function skewFailure(doing: string, error: unknown): JobError {
  const options = { cause: error };
  if ((error as { name?: unknown }).name !== 'RequestTimeTooSkewed') {
    return new RetryableFailure('store_denied', `not permitted: ${doing}`, options);
  }
  const { date } = (error as { $response?: { headers?: Record<string, string> } }).$response?.headers ?? {};
  const seconds = date === undefined ? Number.NaN : Math.round((Date.now() - Date.parse(date)) / 1000);
  const told = Number.isNaN(seconds) ? '' : `; by its answers the clock here is ${seconds} s ahead`;
  const message = `the store refuses the time of our requests, set this machine's clock: ${doing}${told}`;
  return new RetryableFailure('store_denied', message, options);
}

/** The error that a call ends with. `doing` says what was tried, with the key and the store. */
export function s3Failure(doing: string, error: unknown): JobError {
  if (error instanceof JobError) return error;
  const found = `${String((error as { name?: unknown } | null)?.name ?? 'error')}`;
  const options = { cause: error };
  switch (outcomeOf(error)) {
    case 'denied':
      return new RetryableFailure('store_denied', `not permitted: ${doing} (${found})`, options);
    case 'full':
      return new RetryableFailure('store_full', `no space left: ${doing} (${found})`, options);
    case 'too-large':
      return new RejectedJob('object_too_large', `too large for the store: ${doing} (${found})`, options);
    case 'unsafe':
      return new RetryableFailure('store_unsafe', `the store does not do conditional writes: ${doing}`, options);
    default:
      return new RetryableFailure('store_unavailable', `failed: ${doing} (${found})`, options);
  }
}
