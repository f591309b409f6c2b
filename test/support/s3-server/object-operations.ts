import { createHash } from 'node:crypto';
import { checksumElement, checksumHeader, parseAlgorithm } from './checksums.ts';
import { readCondition, writeCondition } from './conditional.ts';
import { noSuchKey, S3Error } from './errors.ts';
import { type Exchange, emptyReply, keptHeaders, type Reply, requireObject, xmlReply } from './exchange.ts';
import type { Checksum, StoredObject } from './objects.ts';
import { parseRange } from './ranges.ts';
import { xmlDocument, xmlElements, xmlText } from './xml.ts';

const always = () => {};

export function checksumHeaders(checksum: Checksum | null): Record<string, string> {
  if (checksum === null) return {};
  const composite = checksum.value.includes('-');
  return {
    [checksumHeader(checksum.algorithm)]: checksum.value,
    'x-amz-checksum-type': composite ? 'COMPOSITE' : 'FULL_OBJECT',
  };
}

export async function putObject(exchange: Exchange): Promise<Reply> {
  const { storage, bucket, key, headers } = exchange;
  storage.bucket(bucket);
  if (Buffer.byteLength(key) > 1024) throw new S3Error(400, 'KeyTooLongError', 'Your key is too long');
  const condition = writeCondition(headers, key);
  const declared = headers['x-amz-sdk-checksum-algorithm'];
  const body = await exchange.receiveFile(parseAlgorithm(String(declared ?? '')));
  const object: StoredObject = {
    segments: [body.segment],
    bytes: body.segment.bytes,
    etag: `"${body.md5.toString('hex')}"`,
    modifiedAt: Date.now(),
    headers: keptHeaders(headers),
    checksum: body.checksum,
  };
  const observed = exchange.onWrite?.wants(key) === true ? storage.readWhole(body.segment) : null;
  const tell = (accepted: boolean) => {
    if (observed !== null) exchange.onWrite?.saw({ key, body: observed, accepted });
  };
  try {
    storage.put(bucket, key, object, condition);
  } catch (error) {
    storage.discard(body.segment);
    tell(false);
    throw error;
  }
  tell(true);
  return emptyReply(200, { etag: object.etag, ...checksumHeaders(object.checksum) });
}

/** GET and HEAD: the same answer but for the body, which the sender leaves out of a HEAD. */
export async function readObject(exchange: Exchange, method: 'GET' | 'HEAD'): Promise<Reply> {
  const { storage, headers } = exchange;
  const object = requireObject(exchange, noSuchKey);
  const validators = { etag: object.etag, 'last-modified': new Date(object.modifiedAt).toUTCString() };
  if (readCondition(headers, object) === 'not-modified') return emptyReply(304, validators);
  const range = parseRange(headers.range, object.bytes);
  const { from, end } = range ?? { from: 0, end: object.bytes };
  const common = {
    ...object.headers,
    ...validators,
    'accept-ranges': 'bytes',
    'content-length': String(end - from),
    ...(range === null ? {} : { 'content-range': `bytes ${from}-${end - 1}/${object.bytes}` }),
    // A checksum covers the whole object, so a range goes without.
    ...(range === null && headers['x-amz-checksum-mode'] === 'ENABLED' ? checksumHeaders(object.checksum) : {}),
  };
  return {
    status: range === null ? 200 : 206,
    headers: common,
    body: method === 'HEAD' ? null : storage.open(object.segments, from, end),
  };
}

export async function deleteObject({ storage, bucket, key, headers, onWrite }: Exchange): Promise<Reply> {
  storage.delete(bucket, key, writeCondition(headers, key));
  if (onWrite?.wants(key) === true) onWrite.saw({ key, body: null, accepted: true });
  return emptyReply(204);
}

export async function deleteObjects(exchange: Exchange): Promise<Reply> {
  const { storage, bucket, headers } = exchange;
  storage.bucket(bucket);
  const guarded = Object.keys(headers).some((name) => name === 'content-md5' || name.startsWith('x-amz-checksum-'));
  if (!guarded && headers['x-amz-trailer'] === undefined) {
    throw new S3Error(400, 'InvalidRequest', 'Missing required header for this request: Content-MD5 or a checksum');
  }
  const xml = await exchange.receiveText();
  const keys = xmlElements(xml, 'Object').map((object) => xmlText(object, 'Key') ?? '');
  if (keys.length === 0 || keys.length > 1000) {
    throw new S3Error(400, 'MalformedXML', `DeleteObjects takes 1 to 1000 keys, not ${keys.length}`);
  }
  for (const key of keys) storage.delete(bucket, key, always);
  const quiet = xmlText(xml, 'Quiet') === 'true';
  return xmlReply(200, xmlDocument('DeleteResult', { Deleted: quiet ? [] : keys.map((Key) => ({ Key })) }));
}

export async function copyObject(exchange: Exchange): Promise<Reply> {
  const { storage, bucket, key, headers } = exchange;
  const source = decodeURIComponent(String(headers['x-amz-copy-source']).replace(/^\//, ''));
  const slash = source.indexOf('/');
  const from = storage.bucket(source.slice(0, slash)).get(source.slice(slash + 1));
  if (from === undefined) throw noSuchKey(source.slice(slash + 1));
  storage.bucket(bucket);
  const replace = headers['x-amz-metadata-directive'] === 'REPLACE';
  const object: StoredObject = {
    ...from,
    segments: from.segments.map((segment) => storage.link(segment)),
    modifiedAt: Date.now(),
    headers: replace ? keptHeaders(headers) : from.headers,
  };
  try {
    storage.put(bucket, key, object, writeCondition(headers, key));
  } catch (error) {
    storage.discard(...object.segments);
    throw error;
  }
  const checksum =
    object.checksum === null ? {} : { [checksumElement(object.checksum.algorithm)]: object.checksum.value };
  return xmlReply(
    200,
    xmlDocument('CopyObjectResult', {
      LastModified: new Date(object.modifiedAt).toISOString(),
      ETag: object.etag,
      ...checksum,
    }),
  );
}

/** The ETag of a multipart object: the md5 over the parts' md5s, and their number. */
export function multipartEtag(partEtags: readonly string[]): string {
  const hash = createHash('md5');
  for (const etag of partEtags) hash.update(Buffer.from(etag.replaceAll('"', ''), 'hex'));
  return `"${hash.digest('hex')}-${partEtags.length}"`;
}
