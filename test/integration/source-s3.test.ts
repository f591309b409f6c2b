import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type DocumentSource, RejectedJob, RetryableFailure } from '@longhaul/core/contracts';
import { type ObjectStore, openStore } from '@longhaul/core/ledger';
import { type Document, type OpenDocumentOptions, openDocument } from '@longhaul/worker/text';
import { startS3Server } from '../support/s3-server/index.ts';
import { never } from '../support/text-documents.ts';

const text = Buffer.from(Array.from({ length: 200_000 }, (_, i) => `line ${i}\n`).join(''));
const rejected = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof RejectedJob && error.code === code && message.test(error.message);

async function open(t: TestContext) {
  const server = await startS3Server();
  t.after(() => server.close());
  const settings = {
    endpoint: server.url,
    region: server.region,
    credentials: { accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey },
    forcePathStyle: true,
    budgetMs: 20_000,
  };
  const store = await openStore(`s3://${server.bucket}`, settings);
  t.after(() => store.close());
  const source: DocumentSource = { kind: 's3', bucket: server.bucket, key: 'library/book', versionId: null };
  const openBook = (more: Partial<OpenDocumentOptions> = {}, key = 'library/book') =>
    openDocument(
      { ...source, key },
      {
        store,
        openBucket: async () => store,
        fileRoots: [],
        compression: 'auto',
        pin: null,
        signal: never,
        ...more,
      },
    );
  return { server, store, openBook };
}

async function bytesFrom(document: Document, from: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of document.read(from, never)) parts.push(part);
  return Buffer.concat(parts);
}

test('an object is read from any offset and pinned by its ETag', async (t) => {
  const { store, openBook } = await open(t);
  const { etag } = await store.putIfAbsent('library/book', text);
  const document = await openBook();
  assert.deepEqual(document.pin, { tag: `etag:${etag}`, bytes: text.length });
  for (const from of [0, 1_000_000, text.length]) {
    assert.ok((await bytesFrom(document, from)).equals(text.subarray(from)), `${from}`);
  }
  await assert.rejects(openBook({}, 'library/none'), rejected('source_not_found', /s3:\/\/.*none does not exist/));
});

test('an object that changed is refused, also midway', async (t) => {
  const { store, openBook } = await open(t);
  const { etag } = await store.putIfAbsent('library/book', text);
  const document = await openBook();
  await store.putIfMatch('library/book', Buffer.from('another'), etag);
  await assert.rejects(openBook({ pin: document.pin }), rejected('source_changed', /expected etag:.*found etag:/));
  await assert.rejects(bytesFrom(document, 500), rejected('source_changed', /./));
});

test('a body that breaks off is taken up again where it broke', async (t) => {
  const { server, store, openBook } = await open(t);
  await store.putIfAbsent('library/book', text);
  const document = await openBook();
  const fault = server.faults.add({
    match: { method: 'GET', keyIncludes: 'book', times: 2 },
    action: 'truncate-body',
  });
  assert.ok((await bytesFrom(document, 11)).equals(text.subarray(11)));
  assert.equal(fault.hits, 2);
});

test("an object that the worker's credentials may not read is refused", async (t) => {
  const { server, store, openBook } = await open(t);
  await store.putIfAbsent('library/book', text);
  server.faults.add({ match: { keyIncludes: 'book' }, action: 'denied-403' });
  await assert.rejects(openBook(), rejected('source_forbidden', /credentials may not read it/));
});

test('a version that cannot be asked for is refused, not ignored', async (t) => {
  const { server, store } = await open(t);
  const source: DocumentSource = { kind: 's3', bucket: server.bucket, key: 'a', versionId: 'v1' };
  const options = {
    store,
    openBucket: async () => store,
    fileRoots: [],
    compression: 'auto',
    pin: null,
    signal: never,
  } as const;
  await assert.rejects(openDocument(source, options), rejected('source_forbidden', /versionId v1/));
});

test('a store out of reach for too long hands the job back', async () => {
  let calls = 0;
  const flaky = {
    url: 's3://library',
    head: async (key: string) => ({ key, bytes: 100, etag: '"1"', modifiedAt: new Date(0) }),
    openRange: async () => {
      calls++;
      throw new RetryableFailure('store_unavailable', 'no route');
    },
  } as unknown as ObjectStore;
  const options = {
    store: flaky,
    openBucket: null,
    fileRoots: [],
    compression: 'none',
    pin: null,
    signal: never,
    patienceMs: 500,
  } as const;
  const document = await openDocument({ kind: 'stored', key: 'inputs/book' }, options);
  await assert.rejects(
    bytesFrom(document, 7),
    (error) =>
      error instanceof RetryableFailure &&
      error.code === 'source_unreadable' &&
      /nothing at offset 7 for 0.5 s.*no route/.test(error.message),
  );
  assert.ok(calls >= 2 && calls < 10, `${calls} calls`);
});
