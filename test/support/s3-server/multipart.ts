import {
  type ChecksumAlgorithm,
  checksumElement,
  checksumHeader,
  parseAlgorithm,
  requireChecksum,
  runningChecksum,
} from './checksums.ts';
import { writeCondition } from './conditional.ts';
import { S3Error } from './errors.ts';
import { type Exchange, emptyReply, keptHeaders, type Reply, xmlReply } from './exchange.ts';
import { checksumHeaders, multipartEtag } from './object-operations.ts';
import type { Checksum, Part, StoredObject, Upload } from './objects.ts';
import { xmlDocument, xmlElements, xmlText } from './xml.ts';

const minPartBytes = 5 * 1024 * 1024;

export async function createMultipartUpload({ storage, bucket, key, headers }: Exchange): Promise<Reply> {
  storage.bucket(bucket);
  const algorithm = parseAlgorithm(String(headers['x-amz-checksum-algorithm'] ?? ''));
  const fullObject = headers['x-amz-checksum-type'] === 'FULL_OBJECT' || algorithm === 'crc64nvme';
  if (fullObject && algorithm?.startsWith('sha')) {
    throw new S3Error(400, 'InvalidRequest', `The FULL_OBJECT checksum type cannot be used with ${algorithm}`);
  }
  const upload = storage.startUpload({
    bucket,
    key,
    startedAt: Date.now(),
    headers: keptHeaders(headers),
    checksum: algorithm === null ? null : { algorithm, fullObject },
  });
  return xmlReply(200, xmlDocument('InitiateMultipartUploadResult', { Bucket: bucket, Key: key, UploadId: upload.id }));
}

export async function uploadPart(exchange: Exchange): Promise<Reply> {
  const { storage, query } = exchange;
  const upload = requireUpload(exchange);
  const number = Number(query.get('partNumber'));
  if (!Number.isInteger(number) || number < 1 || number > 10_000) {
    throw new S3Error(400, 'InvalidArgument', `Part number must be 1 to 10000, not ${query.get('partNumber')}`);
  }
  const body = await exchange.receiveFile(upload.checksum?.algorithm ?? null);
  const part: Part = {
    segment: body.segment,
    etag: `"${body.md5.toString('hex')}"`,
    modifiedAt: Date.now(),
    checksum: body.checksum,
  };
  // The upload may have been completed or aborted while the bytes came in.
  if (!storage.uploads.has(upload.id)) {
    storage.discard(body.segment);
    throw noSuchUpload(upload.id);
  }
  storage.putPart(upload.id, number, part);
  return emptyReply(200, { etag: part.etag, ...checksumHeaders(part.checksum) });
}

export async function listParts(exchange: Exchange): Promise<Reply> {
  const { bucket, key, query } = exchange;
  const upload = requireUpload(exchange);
  const marker = Number(query.get('part-number-marker') ?? 0);
  const limit = Math.min(Number(query.get('max-parts') ?? 1000), 1000);
  const behind = [...upload.parts].filter(([number]) => number > marker).sort(([a], [b]) => a - b);
  const page = behind.slice(0, limit);
  return xmlReply(
    200,
    xmlDocument('ListPartsResult', {
      Bucket: bucket,
      Key: key,
      UploadId: upload.id,
      PartNumberMarker: marker,
      NextPartNumberMarker: page.at(-1)?.[0] ?? 0,
      MaxParts: limit,
      IsTruncated: behind.length > page.length,
      Part: page.map(([number, part]) => ({
        PartNumber: number,
        ETag: part.etag,
        Size: part.segment.bytes,
        LastModified: new Date(part.modifiedAt).toISOString(),
        ...(part.checksum === null ? {} : { [checksumElement(part.checksum.algorithm)]: part.checksum.value }),
      })),
    }),
  );
}

export async function listMultipartUploads({ storage, bucket, query }: Exchange): Promise<Reply> {
  storage.bucket(bucket);
  const prefix = query.get('prefix') ?? '';
  const uploads = [...storage.uploads.values()].filter((u) => u.bucket === bucket && u.key.startsWith(prefix));
  return xmlReply(
    200,
    xmlDocument('ListMultipartUploadsResult', {
      Bucket: bucket,
      Prefix: prefix,
      IsTruncated: false,
      Upload: uploads.map((u) => ({ Key: u.key, UploadId: u.id, Initiated: new Date(u.startedAt).toISOString() })),
    }),
  );
}

export async function abortMultipartUpload(exchange: Exchange): Promise<Reply> {
  exchange.storage.dropUpload(requireUpload(exchange), []);
  return emptyReply(204);
}

export async function completeMultipartUpload(exchange: Exchange): Promise<Reply> {
  const { storage, bucket, key, headers } = exchange;
  const upload = requireUpload(exchange);
  const condition = writeCondition(headers, key);
  const parts = chosenParts(upload, await exchange.receiveText());
  const segments = parts.map((part) => part.segment);
  const checksum = await wholeChecksum(exchange, upload, parts);
  const object: StoredObject = {
    segments,
    bytes: segments.reduce((sum, segment) => sum + segment.bytes, 0),
    etag: multipartEtag(parts.map((part) => part.etag)),
    modifiedAt: Date.now(),
    headers: upload.headers,
    checksum,
  };
  if (!storage.uploads.has(upload.id)) throw noSuchUpload(upload.id);
  storage.put(bucket, key, object, condition);
  storage.dropUpload(upload, segments);
  return xmlReply(
    200,
    xmlDocument('CompleteMultipartUploadResult', {
      Location: `/${bucket}/${key}`,
      Bucket: bucket,
      Key: key,
      ETag: object.etag,
      ...(checksum === null
        ? {}
        : {
            [checksumElement(checksum.algorithm)]: checksum.value,
            ChecksumType: upload.checksum?.fullObject === true ? 'FULL_OBJECT' : 'COMPOSITE',
          }),
    }),
  );
}

function chosenParts(upload: Upload, xml: string): Part[] {
  const listed = xmlElements(xml, 'Part');
  if (listed.length === 0) throw new S3Error(400, 'MalformedXML', 'CompleteMultipartUpload lists no part');
  let previous = 0;
  return listed.map((element, index) => {
    const number = Number(xmlText(element, 'PartNumber'));
    if (!(number > previous))
      throw new S3Error(400, 'InvalidPartOrder', 'The list of parts was not in ascending order');
    previous = number;
    const part = upload.parts.get(number);
    const etag = xmlText(element, 'ETag')?.replaceAll('"', '');
    if (part === undefined || etag !== part.etag.replaceAll('"', '')) {
      throw new S3Error(400, 'InvalidPart', `Part ${number} was not found, or its ETag is another one`);
    }
    if (index < listed.length - 1 && part.segment.bytes < minPartBytes) {
      const found = `part ${number} has ${part.segment.bytes} bytes; the minimum is ${minPartBytes}`;
      throw new S3Error(400, 'EntityTooSmall', `Your proposed upload is smaller than allowed: ${found}`);
    }
    if (part.checksum !== null) {
      const claim = xmlText(element, checksumElement(part.checksum.algorithm));
      if (claim !== null && claim !== part.checksum.value) {
        throw new S3Error(400, 'InvalidPart', `Part ${number} has another checksum: ${part.checksum.value}`);
      }
    }
    return part;
  });
}

/** Composite: the checksum over the parts' checksums. Full object: over the bytes, read once more. */
async function wholeChecksum(exchange: Exchange, upload: Upload, parts: readonly Part[]): Promise<Checksum | null> {
  if (upload.checksum === null) return null;
  const { algorithm, fullObject } = upload.checksum;
  const claim = exchange.headers[checksumHeader(algorithm)];
  const value = fullObject
    ? await overBytes(exchange, algorithm, parts)
    : `${overParts(algorithm, parts).toString('base64')}-${parts.length}`;
  if (claim !== undefined) requireChecksum(algorithm, String(claim), value);
  return { algorithm, value };
}

function overParts(algorithm: ChecksumAlgorithm, parts: readonly Part[]): Buffer {
  const digest = runningChecksum(algorithm);
  for (const part of parts) digest.update(Buffer.from(part.checksum!.value, 'base64'));
  return digest.digest();
}

async function overBytes({ storage }: Exchange, algorithm: ChecksumAlgorithm, parts: readonly Part[]): Promise<string> {
  const digest = runningChecksum(algorithm);
  const segments = parts.map((part) => part.segment);
  const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0);
  for await (const chunk of storage.open(segments, 0, bytes).chunks()) digest.update(chunk);
  return digest.digest().toString('base64');
}

function requireUpload({ storage, bucket, key, query }: Exchange): Upload {
  storage.bucket(bucket);
  const id = query.get('uploadId') ?? '';
  const upload = storage.uploads.get(id);
  if (upload === undefined || upload.bucket !== bucket || upload.key !== key) throw noSuchUpload(id);
  return upload;
}

const noSuchUpload = (id: string) =>
  new S3Error(404, 'NoSuchUpload', `The upload does not exist; it may have been aborted or completed: ${id}`);
