import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import {
  AbortMultipartUploadCommand,
  type ChecksumAlgorithm,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  type GetObjectCommandInput,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { type FaultRule, type S3Coordinates, startS3Server } from '../support/s3-server/index.ts';

const stale = `"${'0'.repeat(32)}"`;
const mib = 1024 * 1024;

function clientOf(at: S3Coordinates, secretAccessKey = at.secretAccessKey, maxAttempts = 1): S3Client {
  return new S3Client({
    endpoint: at.url,
    region: at.region,
    forcePathStyle: true,
    maxAttempts,
    credentials: { accessKeyId: at.accessKeyId, secretAccessKey },
  });
}

/** A running server and short calls on its bucket, both gone when the test ends. */
async function open(t: TestContext, options: { dataDir?: string } = {}) {
  const server = await startS3Server(options);
  const client = clientOf(server);
  t.after(async () => {
    client.destroy();
    await server.close();
  });
  return { server, client, ...calls(client, server.bucket) };
}

function calls(client: S3Client, Bucket: string) {
  return {
    Bucket,
    put: (Key: string, Body: NonNullable<PutObjectCommandInput['Body']>, more: Partial<PutObjectCommandInput> = {}) =>
      client.send(new PutObjectCommand({ Bucket, Key, Body, ...more })),
    get: async (Key: string, more: Partial<GetObjectCommandInput> = {}) => {
      const answer = await client.send(new GetObjectCommand({ Bucket, Key, ...more }));
      return { ...answer, bytes: Buffer.from(await answer.Body!.transformToByteArray()) };
    },
    head: (Key: string) => client.send(new HeadObjectCommand({ Bucket, Key })),
    remove: (Key: string) => client.send(new DeleteObjectCommand({ Bucket, Key })),
    part: (Key: string, UploadId: string, PartNumber: number, Body: Uint8Array) =>
      client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body })),
    begin: async (Key: string, more: { ChecksumAlgorithm?: ChecksumAlgorithm } = {}) =>
      (await client.send(new CreateMultipartUploadCommand({ Bucket, Key, ...more }))).UploadId!,
  };
}

const refused = (call: Promise<unknown>, status: number, name?: string) =>
  assert.rejects(call, (error: { name: string; $metadata?: { httpStatusCode?: number } }) => {
    assert.equal(error.$metadata?.httpStatusCode, status, String(error));
    if (name !== undefined) assert.equal(error.name, name);
    return true;
  });

const pieces = (data: Buffer, size: number) =>
  Readable.from(
    (function* () {
      for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
    })(),
  );

test('an object comes back with its bytes, metadata, md5 ETag and default checksum', async (t) => {
  const { put, get, head, remove } = await open(t);
  const body = randomBytes(70_000);
  const key = 'd/ü ñ+%=&é*\'()!"<😀>.txt';
  const written = await put(key, body, { ContentType: 'text/plain', Metadata: { kind: 'test' } });
  assert.equal(written.ETag, `"${createHash('md5').update(body).digest('hex')}"`);
  assert.ok(written.ChecksumCRC32);
  const read = await get(key, { ChecksumMode: 'ENABLED' });
  assert.deepEqual(read.bytes, body);
  assert.equal(read.ContentType, 'text/plain');
  assert.deepEqual(read.Metadata, { kind: 'test' });
  assert.equal(read.ChecksumCRC32, written.ChecksumCRC32);
  assert.equal((await head(key)).ContentLength, body.length);
  await put('empty', Buffer.alloc(0));
  assert.equal((await get('empty')).bytes.length, 0);
  await remove(key);
  await remove(key);
  await refused(get(key), 404, 'NoSuchKey');
  await refused(head(key), 404, 'NotFound');
});

test('a streamed body arrives without its aws-chunked framing, whatever the sizes of its pieces', async (t) => {
  const { put, get } = await open(t);
  const body = randomBytes(300_001);
  for (const size of [1_000, 65_536, 300_001]) {
    const written = await put('s', pieces(body, size), { ContentLength: body.length });
    assert.ok(written.ChecksumCRC32);
    assert.deepEqual((await get('s')).bytes, body);
  }
  await assert.rejects(put('short', pieces(body.subarray(1), 50_000), { ContentLength: body.length }));
  await refused(get('short'), 404);
});

test('each checksum algorithm is computed as the SDK computes it, and a wrong one is refused', async (t) => {
  const { put, get } = await open(t);
  const body = randomBytes(20_000);
  for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const) {
    const field = `Checksum${algorithm}` as const;
    const whole = await put('c', body, { ChecksumAlgorithm: algorithm });
    const streamed = await put('c', pieces(body, 8_192), { ChecksumAlgorithm: algorithm, ContentLength: body.length });
    assert.ok(whole[field], algorithm);
    assert.equal(streamed[field], whole[field]);
    assert.equal((await get('c', { ChecksumMode: 'ENABLED' }))[field], whole[field]);
    await refused(put('bad', randomBytes(20_000), { [field]: whole[field]! }), 400, 'BadDigest');
  }
  const md5 = createHash('md5').update('other').digest('base64');
  await refused(put('bad', body, { ContentMD5: md5 }), 400, 'BadDigest');
  await refused(get('bad'), 404);
});

test('CRC check values are those of the catalogue', async () => {
  const { crc32c, Crc64Nvme } = await import('../support/s3-server/crc.ts');
  const text = Buffer.from('123456789');
  assert.equal(crc32c(text, 0), 0xe3069283);
  const crc64 = new Crc64Nvme();
  crc64.update(text.subarray(0, 4));
  crc64.update(text.subarray(4));
  assert.equal(crc64.digest().toString('hex'), 'ae8b14860a799888');
});

test('conditional writes: 412 where it is taken or stale, 404 where it is absent', async (t) => {
  const { put, get, client, Bucket } = await open(t);
  const first = await put('k', 'one', { IfNoneMatch: '*' });
  await refused(put('k', 'two', { IfNoneMatch: '*' }), 412, 'PreconditionFailed');
  await refused(put('k', 'two', { IfMatch: stale }), 412, 'PreconditionFailed');
  await refused(put('absent', 'two', { IfMatch: stale }), 404, 'NoSuchKey');
  assert.equal((await get('k')).bytes.toString(), 'one');
  const second = await put('k', 'two', { IfMatch: first.ETag! });
  await refused(put('k', 'three', { IfMatch: first.ETag! }), 412);
  assert.equal((await get('k')).bytes.toString(), 'two');
  await refused(client.send(new DeleteObjectCommand({ Bucket, Key: 'k', IfMatch: first.ETag! })), 412);
  await client.send(new DeleteObjectCommand({ Bucket, Key: 'k', IfMatch: second.ETag! }));
  await put('k', 'again', { IfNoneMatch: '*' });
});

test('conditional reads: 412 for another version, 304 for the same', async (t) => {
  const { put, get } = await open(t);
  const { ETag = '' } = await put('k', 'one');
  assert.equal((await get('k', { IfMatch: ETag })).bytes.toString(), 'one');
  assert.equal((await get('k', { IfNoneMatch: stale })).bytes.toString(), 'one');
  await refused(get('k', { IfMatch: stale }), 412, 'PreconditionFailed');
  await refused(get('k', { IfNoneMatch: ETag }), 304);
  await refused(get('k', { IfModifiedSince: new Date(Date.now() + 5_000) }), 304);
  await refused(get('k', { IfUnmodifiedSince: new Date(0) }), 412);
});

test('of 20 concurrent writers exactly one wins, on create and on swap', async (t) => {
  const { put, get, server } = await open(t);
  for (const condition of ['create', 'swap'] as const) {
    const now = condition === 'create' ? null : (await get('race')).ETag!;
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) =>
        put('race', `${condition} ${i}`, now === null ? { IfNoneMatch: '*' } : { IfMatch: now }),
      ),
    );
    const winners = outcomes.flatMap((outcome, i) => (outcome.status === 'fulfilled' ? [i] : []));
    assert.equal(winners.length, 1);
    assert.equal((await get('race')).bytes.toString(), `${condition} ${winners[0]}`);
  }
  assert.equal(server.requests.filter((r) => r.method === 'PUT' && r.status === 412).length, 38);
});

test('ranges: closed, open, suffix; past the end is 416', async (t) => {
  const { put, get } = await open(t);
  await put('r', '0123456789');
  const range = async (Range: string) => {
    const { bytes, ContentRange, $metadata } = await get('r', { Range });
    assert.equal($metadata.httpStatusCode, 206);
    return [bytes.toString(), ContentRange];
  };
  assert.deepEqual(await range('bytes=2-5'), ['2345', 'bytes 2-5/10']);
  assert.deepEqual(await range('bytes=7-'), ['789', 'bytes 7-9/10']);
  assert.deepEqual(await range('bytes=7-99'), ['789', 'bytes 7-9/10']);
  assert.deepEqual(await range('bytes=-3'), ['789', 'bytes 7-9/10']);
  assert.deepEqual(await range('bytes=-99'), ['0123456789', 'bytes 0-9/10']);
  await refused(get('r', { Range: 'bytes=10-' }), 416, 'InvalidRange');
  await refused(get('r', { Range: 'bytes=-0' }), 416, 'InvalidRange');
  assert.equal((await get('r', { Range: 'lines=1-2' })).bytes.length, 10);
});

test('a read goes on with the version it opened while the object is replaced', async (t) => {
  const { put, client, Bucket, remove } = await open(t);
  const body = randomBytes(4 * mib);
  await put('v', body);
  const slow = await client.send(new GetObjectCommand({ Bucket, Key: 'v' }));
  await put('v', 'new');
  await remove('v');
  assert.deepEqual(Buffer.from(await slow.Body!.transformToByteArray()), body);
});

test('listing: prefix, delimiter, paging, start-after, in UTF-8 order', async (t) => {
  const { put, client, Bucket } = await open(t);
  const keys = Array.from({ length: 25 }, (_, i) => `l/${i < 10 ? 'x' : 'y'}/${String(i).padStart(3, '0')}`);
  await Promise.all([...keys, 'l/top', 'other', 'l/\uffee', 'l/😀', 'l/a&<b>'].map((key) => put(key, key)));
  const list = (more: object) => client.send(new ListObjectsV2Command({ Bucket, Prefix: 'l/', ...more }));
  const flat = (await list({})).Contents!;
  assert.deepEqual(
    flat.map((o) => o.Key),
    ['l/a&<b>', 'l/top', ...keys, 'l/\uffee', 'l/😀'],
  );
  assert.equal(flat[1]!.Size, 5);
  assert.equal(flat[1]!.ETag, `"${createHash('md5').update('l/top').digest('hex')}"`);
  assert.ok(Math.abs(flat[1]!.LastModified!.getTime() - Date.now()) < 60_000);

  for (const Delimiter of [undefined, '/']) {
    const whole = await list({ Delimiter });
    const paged: (string | undefined)[] = [];
    let ContinuationToken: string | undefined;
    let pages = 0;
    do {
      const page = await list({ Delimiter, MaxKeys: 2, ContinuationToken });
      assert.ok(page.KeyCount! <= 2);
      paged.push(...(page.Contents ?? []).map((o) => o.Key), ...(page.CommonPrefixes ?? []).map((p) => p.Prefix));
      ContinuationToken = page.NextContinuationToken;
      pages++;
    } while (ContinuationToken !== undefined);
    const expected = [
      ...(whole.Contents ?? []).map((o) => o.Key),
      ...(whole.CommonPrefixes ?? []).map((p) => p.Prefix),
    ];
    assert.deepEqual(paged.sort(), expected.sort());
    assert.equal(pages, Math.ceil(expected.length / 2));
  }
  const grouped = await list({ Delimiter: '/' });
  assert.deepEqual(grouped.CommonPrefixes, [{ Prefix: 'l/x/' }, { Prefix: 'l/y/' }]);
  const after = await list({ StartAfter: 'l/y/020', Delimiter: undefined });
  assert.deepEqual(
    after.Contents!.slice(0, 2).map((o) => o.Key),
    ['l/y/021', 'l/y/022'],
  );
  const encoded = await list({ EncodingType: 'url', StartAfter: 'l/y/024' });
  assert.deepEqual(
    encoded.Contents!.map((o) => o.Key),
    ['l/%EF%BF%AE', 'l/%F0%9F%98%80'],
  );
  assert.equal((await list({ Prefix: 'none' })).KeyCount, 0);
});

test('delete and copy: a batch names what it deleted, a copy outlives its source', async (t) => {
  const { put, get, remove, client, Bucket } = await open(t);
  await put('a & b', 'text', { ContentType: 'text/plain' });
  await client.send(
    new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: `${Bucket}/${encodeURIComponent('a & b')}` }),
  );
  await remove('a & b');
  const copy = await get('copy');
  assert.equal(copy.bytes.toString(), 'text');
  assert.equal(copy.ContentType, 'text/plain');
  const { Deleted } = await client.send(
    new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'copy' }, { Key: 'never <there>' }] } }),
  );
  assert.deepEqual(Deleted, [{ Key: 'copy' }, { Key: 'never <there>' }]);
  await refused(get('copy'), 404);
});

test('buckets: made, found, missing', async (t) => {
  const { client, server } = await open(t);
  await client.send(new HeadBucketCommand({ Bucket: server.bucket }));
  await refused(client.send(new HeadBucketCommand({ Bucket: 'second' })), 404);
  await refused(client.send(new PutObjectCommand({ Bucket: 'second', Key: 'k', Body: 'x' })), 404, 'NoSuchBucket');
  await client.send(new CreateBucketCommand({ Bucket: 'second' }));
  await client.send(new PutObjectCommand({ Bucket: 'second', Key: 'k', Body: 'x' }));
  await refused(client.send(new CreateBucketCommand({ Bucket: 'second' })), 409, 'BucketAlreadyOwnedByYou');
});

test('multipart: parts in any order become one object, conditions hold at completion, abort leaves nothing', async (t) => {
  const { put, get, begin, part, client, Bucket } = await open(t);
  const bodies = [randomBytes(5 * mib), randomBytes(5 * mib), randomBytes(12_345)];
  const UploadId = await begin('m');
  const replaced = await part('m', UploadId, 2, randomBytes(100));
  const etags = await Promise.all(bodies.map(async (body, i) => (await part('m', UploadId, i + 1, body)).ETag!));
  const listed = await client.send(new ListPartsCommand({ Bucket, Key: 'm', UploadId }));
  assert.deepEqual(
    listed.Parts!.map((p) => [p.PartNumber, p.ETag, p.Size]),
    bodies.map((body, i) => [i + 1, etags[i], body.length]),
  );
  const complete = (numbers: readonly number[], more: object = {}, tags = etags) =>
    client.send(
      new CompleteMultipartUploadCommand({
        Bucket,
        Key: 'm',
        UploadId,
        MultipartUpload: { Parts: numbers.map((n) => ({ PartNumber: n, ETag: tags[n - 1]! })) },
        ...more,
      }),
    );
  await refused(complete([2, 1]), 400, 'InvalidPartOrder');
  await refused(complete([1, 2, 4], {}, [...etags, stale]), 400, 'InvalidPart');
  await refused(complete([1, 2], {}, [etags[0]!, replaced.ETag!]), 400, 'InvalidPart');
  await refused(complete([1, 2, 3], { IfMatch: stale }), 404);
  await put('m', 'in the way');
  await refused(complete([1, 2, 3], { IfNoneMatch: '*' }), 412, 'PreconditionFailed');
  await refused(complete([1, 2, 3], { IfMatch: stale }), 412, 'PreconditionFailed');
  const done = await complete([1, 2, 3], { IfMatch: (await get('m')).ETag });
  const md5s = etags.map((etag) => Buffer.from(etag.replaceAll('"', ''), 'hex'));
  assert.equal(done.ETag, `"${createHash('md5').update(Buffer.concat(md5s)).digest('hex')}-3"`);
  const whole = Buffer.concat(bodies);
  assert.deepEqual((await get('m')).bytes, whole);
  const across = await get('m', { Range: `bytes=${5 * mib - 10}-${10 * mib + 9}` });
  assert.deepEqual(across.bytes, whole.subarray(5 * mib - 10, 10 * mib + 10));
  await refused(complete([1, 2, 3]), 404, 'NoSuchUpload');

  const aborted = await begin('gone');
  await part('gone', aborted, 1, randomBytes(10));
  const unfinished = await client.send(new ListMultipartUploadsCommand({ Bucket }));
  assert.deepEqual(
    unfinished.Uploads!.map((u) => [u.Key, u.UploadId]),
    [['gone', aborted]],
  );
  await client.send(new AbortMultipartUploadCommand({ Bucket, Key: 'gone', UploadId: aborted }));
  await refused(part('gone', aborted, 2, randomBytes(10)), 404, 'NoSuchUpload');
  assert.equal((await client.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads, undefined);
});

test('multipart checksums: composite and full object, and a part that is too small', async (t) => {
  const { get, begin, client, Bucket } = await open(t);
  for (const algorithm of ['SHA256', 'CRC64NVME'] as const) {
    const field = `Checksum${algorithm}` as const;
    const bodies = [randomBytes(5 * mib), randomBytes(1_000)];
    const UploadId = await begin('m', { ChecksumAlgorithm: algorithm });
    const Parts = [];
    for (const [i, Body] of bodies.entries()) {
      const sent = { Bucket, Key: 'm', UploadId, PartNumber: i + 1, Body, ChecksumAlgorithm: algorithm };
      const { ETag, [field]: checksum } = await client.send(new UploadPartCommand(sent));
      Parts.push({ PartNumber: i + 1, ETag: ETag!, [field]: checksum! });
    }
    const MultipartUpload = { Parts };
    const done = await client.send(new CompleteMultipartUploadCommand({ Bucket, Key: 'm', UploadId, MultipartUpload }));
    assert.equal(done.ChecksumType, algorithm === 'SHA256' ? 'COMPOSITE' : 'FULL_OBJECT');
    assert.equal(done[field]!.endsWith('-2'), algorithm === 'SHA256');
    assert.deepEqual((await get('m', { ChecksumMode: 'ENABLED' })).bytes, Buffer.concat(bodies));
  }
  const UploadId = await begin('small');
  const Parts = [];
  for (const PartNumber of [1, 2]) {
    const { ETag } = await client.send(
      new UploadPartCommand({ Bucket, Key: 'small', UploadId, PartNumber, Body: 'x' }),
    );
    Parts.push({ PartNumber, ETag: ETag! });
  }
  const small = { Bucket, Key: 'small', UploadId, MultipartUpload: { Parts } };
  await refused(client.send(new CompleteMultipartUploadCommand(small)), 400, 'EntityTooSmall');
});

test('64 MiB go in and out as a stream: on disk while they arrive, and read only as fast as they are taken', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'longhaul-s3-stream-'));
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  const { put, client, Bucket } = await open(t, { dataDir });
  const chunk = randomBytes(mib);
  const count = 64;
  const onDisk = async () => {
    const [file] = await readdir(join(dataDir, 'bodies'));
    return file === undefined ? 0 : (await stat(join(dataDir, 'bodies', file))).size;
  };
  const body = async function* () {
    for (let i = 0; i < count; i++) {
      // The rest is held back until half has reached the disk: a server that gathers bodies in memory fails here.
      for (let waited = 0; i === count / 2 && (await onDisk()) < (count / 2 - 2) * mib; waited += 10) {
        assert.ok(waited < 30_000, `${await onDisk()} bytes on disk after ${i} MiB`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      yield chunk;
    }
  };
  await put('big', Readable.from(body(), { objectMode: false }), { ContentLength: count * mib });

  const before = process.memoryUsage().arrayBuffers;
  const read = (await client.send(new GetObjectCommand({ Bucket, Key: 'big' }))).Body as Readable;
  await new Promise((resolve) => setTimeout(resolve, 300));
  const ahead = process.memoryUsage().arrayBuffers - before;
  assert.ok(ahead < 24 * mib, `${ahead} bytes buffered for a reader that takes nothing`);
  const [found, expected] = [createHash('sha1'), createHash('sha1')];
  for await (const data of read) found.update(data);
  for (let i = 0; i < count; i++) expected.update(chunk);
  assert.equal(found.digest('hex'), expected.digest('hex'));
});

test('a signature is checked: secret, key id, region, age, and every byte of a request', async (t) => {
  const { server, put } = await open(t);
  await put('k', 'x');
  const list = (over: Partial<S3Coordinates>, options = {}) => {
    const client = clientOf({ ...server, ...over });
    Object.assign(client.config, options);
    return client.send(new ListObjectsV2Command({ Bucket: server.bucket })).finally(() => client.destroy());
  };
  await refused(list({ secretAccessKey: 'wrong' }), 403, 'SignatureDoesNotMatch');
  await refused(list({ accessKeyId: 'WRONG' }), 403, 'InvalidAccessKeyId');
  await refused(list({ region: 'eu-west-1' }), 400, 'AuthorizationHeaderMalformed');
  await refused(list({}, { systemClockOffset: -20 * 60 * 1000 }), 403, 'RequestTimeTooSkewed');
  assert.equal((await fetch(`${server.url}/${server.bucket}/k`)).status, 403);

  const good = signed(server, 'PUT', '/k', { body: 'hello' });
  assert.equal((await fetch(good.url, good)).status, 200);
  const other = await fetch(good.url, { ...good, body: 'hellO' });
  assert.match(await other.text(), /XAmzContentSHA256Mismatch/);
  const moved = await fetch(`${good.url}2`, good);
  assert.match(await moved.text(), /SignatureDoesNotMatch/);
  const extra = await fetch(good.url, { ...good, headers: { ...good.headers, 'x-amz-meta-a': 'b' } });
  assert.match(await extra.text(), /AccessDenied/);
});

test('signed chunks are verified one by one, with their trailers', async (t) => {
  const { server, get } = await open(t);
  const payload = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER';
  const chunks = [randomBytes(9_000), randomBytes(10)];
  const crc = createHash('sha256').update(Buffer.concat(chunks)).digest('base64');
  const upload = (spoil: (framed: Buffer) => Buffer, trailer = `x-amz-checksum-sha256:${crc}`) => {
    const headers = { 'x-amz-decoded-content-length': '9010', 'x-amz-trailer': 'x-amz-checksum-sha256' };
    const request = signed(server, 'PUT', '/signed', { payload, headers });
    let previous = request.signature;
    const framed: Buffer[] = [];
    const hash = (data: Uint8Array | string) => createHash('sha256').update(data).digest('hex');
    for (const chunk of [...chunks, Buffer.alloc(0)]) {
      previous = request.sign('AWS4-HMAC-SHA256-PAYLOAD', previous, hash(''), hash(chunk));
      framed.push(Buffer.from(`${chunk.length.toString(16)};chunk-signature=${previous}\r\n`), chunk);
      if (chunk.length > 0) framed.push(Buffer.from('\r\n'));
    }
    const seal = request.sign('AWS4-HMAC-SHA256-TRAILER', previous, hash(`${trailer}\n`));
    framed.push(Buffer.from(`${trailer}\r\nx-amz-trailer-signature:${seal}\r\n\r\n`));
    return fetch(request.url, { ...request, body: spoil(Buffer.concat(framed)) });
  };
  const flip = (at: number) => (framed: Buffer) => {
    framed[at]! ^= 1;
    return framed;
  };
  assert.match(await (await upload(flip(200))).text(), /SignatureDoesNotMatch/);
  assert.match(await (await upload((b) => b.subarray(0, 5_000))).text(), /IncompleteBody/);
  assert.match(await (await upload((b) => b, 'x-amz-checksum-sha256:AAAA')).text(), /BadDigest/);
  assert.match(await (await upload((b) => b, 'x-amz-checksum-crc32:AAAA')).text(), /MalformedTrailerError/);
  await refused(get('signed'), 404);
  assert.equal((await upload((b) => b)).status, 200);
  assert.deepEqual((await get('signed')).bytes, Buffer.concat(chunks));
});

test('a presigned address works until it expires, and for its own key alone', async (t) => {
  const { server, put } = await open(t);
  await put('p q', 'text');
  const good = presigned(server, '/p%20q', 60);
  assert.equal(await (await fetch(good)).text(), 'text');
  assert.equal((await fetch(good.replace('p%20q', 'other'))).status, 403);
  assert.equal((await fetch(presigned(server, '/p%20q', 60, Date.now() - 61_000))).status, 403);
  assert.equal((await fetch(good.replace(/.$/, (c) => (c === '0' ? '1' : '0')))).status, 403);
});

test('faults answer with the errors that stores give, once each, and the SDK retries what may be retried', async (t) => {
  const { server, put, get } = await open(t);
  const cases: readonly [FaultRule['action'], number, string][] = [
    ['slow-down-503', 503, 'SlowDown'],
    ['internal-500', 500, 'InternalError'],
    ['conflict-409', 409, 'ConditionalRequestConflict'],
    ['denied-403', 403, 'AccessDenied'],
    ['full', 507, 'XMinioStorageFull'],
  ];
  for (const [action, status, name] of cases) {
    const fault = server.faults.add({ match: { method: 'PUT', keyIncludes: 'f/', times: 1, skip: 1 }, action });
    await put('other', 'x');
    await put('f/1', 'x');
    assert.equal(fault.hits, 0);
    await refused(put('f/2', 'x'), status, name);
    await put('f/3', 'x');
    assert.equal(fault.hits, 1);
    await refused(get('f/2'), 404);
    server.faults.clear();
  }
  const patient = clientOf(server, server.secretAccessKey, 3);
  t.after(() => patient.destroy());
  const fault = server.faults.add({ match: { operation: 'PutObject', times: 2 }, action: 'slow-down-503' });
  await calls(patient, server.bucket).put('f/2', 'x');
  assert.equal(fault.hits, 2);
});

test('a reset comes before or after the write, and the log says that nothing was answered', async (t) => {
  const { server, put, get } = await open(t);
  server.faults.add({ match: { method: 'PUT', times: 1 }, action: 'reset' });
  await assert.rejects(put('before', 'x'), /ECONNRESET|hang up/);
  await refused(get('before'), 404);
  server.faults.add({ match: { method: 'PUT', times: 1 }, action: 'reset-after' });
  await assert.rejects(put('after', 'x', { IfNoneMatch: '*' }), /ECONNRESET|hang up/);
  assert.equal((await get('after')).bytes.toString(), 'x');
  await refused(put('after', 'x', { IfNoneMatch: '*' }), 412);
  assert.deepEqual(
    server.requests.filter((r) => r.method === 'PUT').map((r) => [r.operation, r.key, r.status]),
    [
      ['PutObject', 'before', 0],
      ['PutObject', 'after', 0],
      ['PutObject', 'after', 412],
    ],
  );
});

test('bodies of a GET are cut, corrupted, delayed and stalled', async (t) => {
  const { server, put, get } = await open(t);
  const body = randomBytes(100_000);
  await put('b', body, { ChecksumAlgorithm: 'SHA256' });
  const inject = (action: FaultRule['action']) => server.faults.add({ match: { method: 'GET', times: 1 }, action });
  inject('truncate-body');
  await assert.rejects(get('b'), /aborted|ECONNRESET|terminated/);
  inject('flip-bit');
  const wrong = (await get('b', { ChecksumMode: 'DISABLED' as 'ENABLED' })).bytes;
  assert.equal(wrong.length, body.length);
  assert.equal(wrong.filter((byte, i) => byte !== body[i]).length, 1);
  inject('flip-bit');
  await assert.rejects(get('b', { ChecksumMode: 'ENABLED' }), /[Cc]hecksum/);
  inject({ delayMs: 150 });
  const start = performance.now();
  await get('b');
  assert.ok(performance.now() - start >= 145);
  const stall = inject('stall');
  const stalled = get('b');
  await stall.hit;
  const race = await Promise.race([stalled, new Promise((resolve) => setTimeout(resolve, 100, 'still waiting'))]);
  assert.equal(race, 'still waiting');
  server.faults.release();
  assert.deepEqual((await stalled).bytes, body);
});

test('an unsafe store ignores conditions, and a server that is down comes back on the same port', async (t) => {
  const { server, put, get } = await open(t);
  await put('k', 'one');
  server.faults.add({ match: {}, action: 'no-conditions' });
  await put('k', 'two', { IfNoneMatch: '*' });
  await put('k', 'three', { IfMatch: stale });
  assert.equal((await get('k', { IfMatch: stale })).bytes.toString(), 'three');
  server.faults.clear();
  await refused(put('k', 'two', { IfNoneMatch: '*' }), 412);
  server.faults.down();
  await assert.rejects(get('k'), /ECONNRESET|ECONNREFUSED|hang up/);
  server.faults.up();
  assert.equal((await get('k')).bytes.toString(), 'three');
});

test('killed and started again on its data, it has what it answered for, and no stray file', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-s3-restart-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const first = await startProcess(['--data-dir', dir]);
  t.after(() => first.child.kill('SIGKILL'));
  const client = clientOf(first.at);
  t.after(() => client.destroy());
  const { put, get, begin, part, Bucket } = calls(client, first.at.bucket);
  const { ETag = '' } = await put('kept', 'one', { Metadata: { a: 'b' } });
  await put('dropped', 'x');
  await client.send(new DeleteObjectCommand({ Bucket, Key: 'dropped' }));
  const UploadId = await begin('m');
  const sent = await part('m', UploadId, 1, Buffer.from('part'));
  const unfinished = pieces(randomBytes(100_000), 1_000);
  const hanging = put('half', Readable.from(forever(unfinished)), { ContentLength: 200_000 });
  hanging.catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 100));
  first.child.kill('SIGKILL');
  await assert.rejects(hanging);

  const second = await startProcess(['--data-dir', dir, '--port', String(first.at.port)]);
  t.after(() => second.child.kill('SIGKILL'));
  assert.equal(second.at.port, first.at.port);
  assert.deepEqual((await get('kept', { IfMatch: ETag })).Metadata, { a: 'b' });
  await refused(get('dropped'), 404);
  await refused(get('half'), 404);
  assert.equal((await readdir(join(dir, 'bodies'))).length, 2);
  const MultipartUpload = { Parts: [{ PartNumber: 1, ETag: sent.ETag! }] };
  await client.send(new CompleteMultipartUploadCommand({ Bucket, Key: 'm', UploadId, MultipartUpload }));
  assert.equal((await get('m')).bytes.toString(), 'part');
  second.child.kill('SIGTERM');
  assert.deepEqual(await once(second.child, 'exit'), [0, null]);
});

async function* forever(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield* source;
  await new Promise(() => {});
}

async function startProcess(args: string[]): Promise<{ child: ChildProcess; at: S3Coordinates }> {
  const main = new URL('../support/s3-server/main.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(createInterface(child.stdout!), 'line');
  return { child, at: JSON.parse(line as string) as S3Coordinates };
}

/** A second implementation of Signature Version 4, so that the server is not judged by its own. */
function signed(
  at: S3Coordinates,
  method: string,
  path: string,
  options: { body?: string; payload?: string; headers?: Record<string, string> },
) {
  const { date, scope, sign } = signer(at, Date.now());
  const url = `${at.url}/${at.bucket}${path}`;
  const payload =
    options.payload ??
    createHash('sha256')
      .update(options.body ?? '')
      .digest('hex');
  const headers: Record<string, string> = {
    host: new URL(url).host,
    'x-amz-content-sha256': payload,
    'x-amz-date': date,
    ...options.headers,
  };
  const names = Object.keys(headers).sort();
  const lines = names.map((name) => `${name}:${headers[name]}\n`).join('');
  const canonical = `${method}\n/${at.bucket}${path}\n\n${lines}\n${names.join(';')}\n${payload}`;
  const signature = sign('AWS4-HMAC-SHA256', createHash('sha256').update(canonical).digest('hex'));
  headers['authorization'] =
    `AWS4-HMAC-SHA256 Credential=${at.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
  return { url, method, headers, body: options.body ?? null, signature, sign };
}

function presigned(at: S3Coordinates, path: string, expiresSeconds: number, now = Date.now()): string {
  const { date, scope, sign } = signer(at, now);
  const query = [
    'X-Amz-Algorithm=AWS4-HMAC-SHA256',
    `X-Amz-Credential=${encodeURIComponent(`${at.accessKeyId}/${scope}`)}`,
    `X-Amz-Date=${date}`,
    `X-Amz-Expires=${expiresSeconds}`,
    'X-Amz-SignedHeaders=host',
  ].join('&');
  const host = new URL(at.url).host;
  const canonical = `GET\n/${at.bucket}${path}\n${query}\nhost:${host}\n\nhost\nUNSIGNED-PAYLOAD`;
  const signature = sign('AWS4-HMAC-SHA256', createHash('sha256').update(canonical).digest('hex'));
  return `${at.url}/${at.bucket}${path}?${query}&X-Amz-Signature=${signature}`;
}

function signer(at: S3Coordinates, now: number) {
  const date = new Date(now).toISOString().replace(/[-:]|\.\d+/g, '');
  const day = date.slice(0, 8);
  const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest();
  const key = hmac(hmac(hmac(hmac(`AWS4${at.secretAccessKey}`, day), at.region), 's3'), 'aws4_request');
  const scope = `${day}/${at.region}/s3/aws4_request`;
  const sign = (...lines: [string, ...string[]]) =>
    createHmac('sha256', key)
      .update([lines[0], date, scope, ...lines.slice(1)].join('\n'))
      .digest('hex');
  return { date, scope, sign };
}
