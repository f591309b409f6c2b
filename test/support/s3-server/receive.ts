import { createHash } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { decodeAwsChunked } from './aws-chunked.ts';
import {
  type ChecksumAlgorithm,
  checksumAlgorithms,
  checksumHeader,
  parseAlgorithm,
  requireChecksum,
  runningChecksum,
} from './checksums.ts';
import { S3Error } from './errors.ts';
import type { Checksum, ObjectStorage, Segment } from './objects.ts';
import type { Authenticated } from './sigv4.ts';

export interface ReceivedBody {
  readonly segment: Segment;
  readonly md5: Buffer;
  readonly checksum: Checksum | null;
}

/** Streams the body of a PUT into a file and checks every digest that came with it; on failure nothing is left. */
export async function receiveFile(
  request: IncomingMessage,
  authenticated: Authenticated,
  storage: ObjectStorage,
  wanted: ChecksumAlgorithm | null,
): Promise<ReceivedBody> {
  const { file, path } = storage.newFile();
  const handle = await open(path, 'wx');
  try {
    const facts = await receive(request, authenticated, wanted, (part) => writeAll(handle, part));
    await handle.close();
    return { segment: { file, bytes: facts.bytes }, md5: facts.md5, checksum: facts.checksum };
  } catch (error) {
    await handle.close();
    await rm(path, { force: true });
    throw error;
  }
}

/** The body of a small XML request, checked the same way. */
export async function receiveText(request: IncomingMessage, authenticated: Authenticated): Promise<string> {
  const parts: Buffer[] = [];
  await receive(request, authenticated, null, async (part) => void parts.push(part));
  return Buffer.concat(parts).toString('utf8');
}

async function receive(
  request: IncomingMessage,
  { payload, chunkVerifier }: Authenticated,
  wanted: ChecksumAlgorithm | null,
  sink: (part: Buffer) => Promise<void>,
): Promise<{ readonly bytes: number; readonly md5: Buffer; readonly checksum: Checksum | null }> {
  const { headers } = request;
  const chunked = payload.startsWith('STREAMING-');
  const length = headers[chunked ? 'x-amz-decoded-content-length' : 'content-length'];
  if (length === undefined && request.method === 'PUT') {
    throw new S3Error(411, 'MissingContentLength', 'You must provide the Content-Length HTTP header');
  }
  const trailerName = single(headers['x-amz-trailer'])?.trim().toLowerCase();
  const claimed = checksumAlgorithms.filter((a) => headers[checksumHeader(a)] !== undefined);
  if (claimed.length > 1) throw new S3Error(400, 'InvalidRequest', 'Expecting a single x-amz-checksum- header');
  const algorithm = claimed[0] ?? parseAlgorithm(trailerName) ?? wanted;

  const md5 = createHash('md5');
  const sha256 = createHash('sha256');
  const checksum = algorithm === null ? null : runningChecksum(algorithm);
  const trailers = new Map<string, string>();
  let bytes = 0;
  for await (const part of chunked ? decodeAwsChunked(request, trailers, chunkVerifier()) : request) {
    bytes += part.length;
    md5.update(part);
    if (!chunked) sha256.update(part);
    checksum?.update(part);
    await sink(part);
  }

  if (length !== undefined && bytes !== Number(length)) {
    throw new S3Error(400, 'IncompleteBody', `The body has ${bytes} bytes; the header says ${length}`);
  }
  if (/^[0-9a-f]{64}$/.test(payload)) {
    if (sha256.digest('hex') !== payload) {
      throw new S3Error(400, 'XAmzContentSHA256Mismatch', 'x-amz-content-sha256 does not match what was computed');
    }
  } else if (!chunked && payload !== 'UNSIGNED-PAYLOAD') {
    throw new S3Error(400, 'InvalidRequest', `x-amz-content-sha256 must be a hash or a known name, not ${payload}`);
  }
  const digest = md5.digest();
  requireMd5(single(headers['content-md5']), digest);
  if (trailerName !== undefined && !trailers.has(trailerName)) {
    throw new S3Error(400, 'MalformedTrailerError', `The request declares the trailer ${trailerName} but lacks it`);
  }
  if (algorithm === null || checksum === null) return { bytes, md5: digest, checksum: null };
  const value = checksum.digest().toString('base64');
  const claim = single(headers[checksumHeader(algorithm)]) ?? trailers.get(checksumHeader(algorithm));
  if (claim !== undefined) requireChecksum(algorithm, claim, value);
  return { bytes, md5: digest, checksum: { algorithm, value } };
}

function requireMd5(claim: string | undefined, digest: Buffer): void {
  if (claim === undefined) return;
  if (Buffer.from(claim, 'base64').length !== 16) {
    throw new S3Error(400, 'InvalidDigest', `The Content-MD5 you specified is not valid: ${claim}`);
  }
  if (claim !== digest.toString('base64')) {
    throw new S3Error(400, 'BadDigest', `The Content-MD5 you specified did not match what we received: ${claim}`);
  }
}

async function writeAll(handle: FileHandle, part: Buffer): Promise<void> {
  for (let at = 0; at < part.length; ) at += (await handle.write(part, at)).bytesWritten;
}

const single = (value: string | string[] | undefined) => (Array.isArray(value) ? value.join(',') : value);
