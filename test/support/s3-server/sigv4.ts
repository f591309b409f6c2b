import { createHash, createHmac } from 'node:crypto';
import type { ChunkVerifier } from './aws-chunked.ts';
import { S3Error } from './errors.ts';

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
}

export interface SignedRequest {
  readonly method: string;
  /** Decoded, from the leading slash. */
  readonly path: string;
  /** Decoded names and values, in the order sent. */
  readonly query: readonly (readonly [string, string])[];
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** What a request that passed says about its body. */
export interface Authenticated {
  /** Hex sha256, `UNSIGNED-PAYLOAD` or one of the `STREAMING-…` names. */
  readonly payload: string;
  /** A fresh verifier for signed streams; null where chunks carry no signature. */
  chunkVerifier(): ChunkVerifier | null;
}

const emptyHash = createHash('sha256').digest('hex');
const maxSkewMs = 15 * 60 * 1000;
const maxExpiresSeconds = 7 * 24 * 3600;

/** Checks AWS Signature Version 4, in the Authorization header or in the query. Throws 403 (400 where malformed). */
export function authenticate(request: SignedRequest, credentials: Credentials, nowMs: number): Authenticated {
  const query = new Map(request.query);
  return query.has('X-Amz-Signature')
    ? authenticateQuery(request, query, credentials, nowMs)
    : authenticateHeader(request, credentials, nowMs);
}

function authenticateHeader(request: SignedRequest, credentials: Credentials, nowMs: number): Authenticated {
  const authorization = header(request, 'authorization');
  if (authorization === null) throw new S3Error(403, 'AccessDenied', 'Access Denied: the request is not signed');
  const match = /^AWS4-HMAC-SHA256 +Credential=([^,]+), *SignedHeaders=([^,]+), *Signature=([0-9a-f]{64})$/.exec(
    authorization,
  );
  if (match === null) throw malformed('the Authorization header is not AWS4-HMAC-SHA256');
  const payload = header(request, 'x-amz-content-sha256');
  if (payload === null) throw new S3Error(400, 'InvalidRequest', 'Missing required header: x-amz-content-sha256');
  const date = header(request, 'x-amz-date') ?? '';
  if (Math.abs(parseAmzDate(date) - nowMs) > maxSkewMs) {
    throw new S3Error(
      403,
      'RequestTimeTooSkewed',
      `The difference between the request time and the current time is too large: ${date}`,
    );
  }
  return verify(request, request.query, credentials, {
    credential: match[1]!,
    signedHeaders: match[2]!,
    signature: match[3]!,
    date,
    payload,
  });
}

function authenticateQuery(
  request: SignedRequest,
  query: ReadonlyMap<string, string>,
  credentials: Credentials,
  nowMs: number,
): Authenticated {
  const required = (name: string) => {
    const value = query.get(name);
    if (value === undefined) {
      throw new S3Error(400, 'AuthorizationQueryParametersError', `The query lacks ${name}`);
    }
    return value;
  };
  const date = required('X-Amz-Date');
  const expires = Number(required('X-Amz-Expires'));
  if (!(expires >= 1 && expires <= maxExpiresSeconds)) {
    throw new S3Error(400, 'AuthorizationQueryParametersError', `X-Amz-Expires must be 1 to ${maxExpiresSeconds}`);
  }
  const signedAt = parseAmzDate(date);
  if (nowMs > signedAt + expires * 1000) throw new S3Error(403, 'AccessDenied', 'Request has expired');
  if (nowMs < signedAt - maxSkewMs) throw new S3Error(403, 'AccessDenied', 'Request is not yet valid');
  const unsigned = request.query.filter(([name]) => name !== 'X-Amz-Signature');
  return verify(request, unsigned, credentials, {
    credential: required('X-Amz-Credential'),
    signedHeaders: required('X-Amz-SignedHeaders'),
    signature: required('X-Amz-Signature'),
    date,
    payload: header(request, 'x-amz-content-sha256') ?? query.get('X-Amz-Content-Sha256') ?? 'UNSIGNED-PAYLOAD',
  });
}

interface Claim {
  readonly credential: string;
  readonly signedHeaders: string;
  readonly signature: string;
  readonly date: string;
  readonly payload: string;
}

function verify(
  request: SignedRequest,
  query: SignedRequest['query'],
  credentials: Credentials,
  claim: Claim,
): Authenticated {
  const [accessKeyId, day = '', region, service, end] = claim.credential.split('/');
  if (accessKeyId !== credentials.accessKeyId) {
    throw new S3Error(403, 'InvalidAccessKeyId', `The access key id does not exist: ${accessKeyId}`);
  }
  if (region !== credentials.region || service !== 's3' || end !== 'aws4_request' || !claim.date.startsWith(day)) {
    throw malformed(`the scope is ${claim.credential}; expecting ${credentials.region}/s3/aws4_request`);
  }
  const scope = `${day}/${region}/${service}/${end}`;
  const names = claim.signedHeaders.split(';');
  for (const name of Object.keys(request.headers)) {
    if ((name === 'host' || name.startsWith('x-amz-')) && !names.includes(name)) {
      throw new S3Error(
        403,
        'AccessDenied',
        `There were headers present in the request which were not signed: ${name}`,
      );
    }
  }
  const canonical = [
    request.method,
    request.path.split('/').map(encodeRfc3986).join('/'),
    query
      .map(([name, value]) => [encodeRfc3986(name), encodeRfc3986(value)] as const)
      .sort((a, b) => compare(a[0], b[0]) || compare(a[1], b[1]))
      .map(([name, value]) => `${name}=${value}`)
      .join('&'),
    ...names.map((name) => `${name}:${(header(request, name) ?? '').trim().replace(/ +/g, ' ')}`),
    '',
    claim.signedHeaders,
    claim.payload,
  ].join('\n');
  const key = signingKey(credentials.secretAccessKey, day, region, service);
  const sign = (kind: string, ...lines: string[]) =>
    createHmac('sha256', key)
      .update([kind, claim.date, scope, ...lines].join('\n'))
      .digest('hex');
  if (sign('AWS4-HMAC-SHA256', sha256(canonical)) !== claim.signature) {
    throw signatureMismatch('the request signature we calculated does not match the one you provided');
  }
  const signedStream = claim.payload.startsWith('STREAMING-AWS4-HMAC-SHA256-PAYLOAD');
  return {
    payload: claim.payload,
    chunkVerifier: () => (signedStream ? chunkVerifier(claim.signature, sign) : null),
  };
}

/** Every chunk signs its own hash and the signature before it, so chunks can be neither altered nor reordered. */
function chunkVerifier(seed: string, sign: (kind: string, ...lines: string[]) => string): ChunkVerifier {
  let previous = seed;
  let hash = createHash('sha256');
  return {
    data: (part) => void hash.update(part),
    endChunk(signature) {
      const expected = sign('AWS4-HMAC-SHA256-PAYLOAD', previous, emptyHash, hash.digest('hex'));
      if (signature !== expected) throw signatureMismatch('a chunk signature does not match its chunk');
      previous = expected;
      hash = createHash('sha256');
    },
    trailers(headers, signature) {
      const lines = [...headers].map(([name, value]) => `${name}:${value}\n`).join('');
      if (signature !== sign('AWS4-HMAC-SHA256-TRAILER', previous, sha256(lines))) {
        throw signatureMismatch('the trailer signature does not match the trailers');
      }
    },
  };
}

function signingKey(secret: string, ...scope: string[]): Buffer {
  return [...scope, 'aws4_request'].reduce<Buffer>(
    (key, part) => createHmac('sha256', key).update(part).digest(),
    Buffer.from(`AWS4${secret}`),
  );
}

function parseAmzDate(text: string): number {
  const m = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (m === null) throw new S3Error(403, 'AccessDenied', `X-Amz-Date is no ISO 8601 basic date: '${text}'`);
  return Date.parse(`${m[1]}-${m[2]}-${m[3]}T${m[4]}:${m[5]}:${m[6]}Z`);
}

function header(request: SignedRequest, name: string): string | null {
  const value = request.headers[name];
  return value === undefined ? null : Array.isArray(value) ? value.join(',') : value;
}

export const encodeRfc3986 = (text: string) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const malformed = (what: string) =>
  new S3Error(400, 'AuthorizationHeaderMalformed', `The authorization is malformed: ${what}`);
const signatureMismatch = (what: string) => new S3Error(403, 'SignatureDoesNotMatch', `Signature mismatch: ${what}`);
