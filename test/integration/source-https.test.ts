import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { RejectedJob, RetryableFailure } from '@longhaul/core/contracts';
import type { ObjectStore } from '@longhaul/core/ledger';
import { type Document, type OpenDocumentOptions, openDocument } from '@longhaul/worker/text';
import { type ServedDocument, startDocumentServer } from '../support/http-server.ts';
import { never } from '../support/text-documents.ts';

const text = Buffer.from(Array.from({ length: 60_000 }, (_, i) => `line ${i}\n`).join(''));
const other = Buffer.from(text.toString().replaceAll('line', 'LINE'));
const lastModified = new Date('2024-05-06T07:08:09Z');
const rejected = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof RejectedJob && error.code === code && message.test(error.message);

async function start(t: TestContext) {
  const server = await startDocumentServer();
  t.after(() => server.close());
  const serve = (more: Partial<ServedDocument> = {}) => server.serve('/book', { body: text, ...more });
  const open = (more: Partial<OpenDocumentOptions> = {}, url = `${server.httpsUrl}/book`) =>
    openDocument(
      { kind: 'https', url },
      {
        store: null as unknown as ObjectStore,
        openBucket: null,
        fileRoots: [],
        compression: 'auto',
        pin: null,
        signal: never,
        http: { allowHosts: ['127.0.0.1', 'localhost'], ca: server.ca, silenceMs: 20_000 },
        patienceMs: 20_000,
        ...more,
      },
    );
  return { server, serve, open };
}

async function bytesFrom(document: Document, from: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of document.read(from, never)) parts.push(part);
  return Buffer.concat(parts);
}

test('a page is read from any offset, plain and compressed, with ranges and without', async (t) => {
  const { server, serve, open } = await start(t);
  for (const ranges of [true, false]) {
    for (const body of [text, gzipSync(text)]) {
      serve({ body, ranges });
      const document = await open();
      assert.match(document.pin.tag, /^etag:"[0-9a-f]{40}"$/);
      assert.equal(document.pin.bytes, body.length);
      assert.equal(document.totalBytes, body === text ? text.length : null);
      for (const from of [0, 3, 300_000, text.length]) {
        assert.ok((await bytesFrom(document, from)).equals(text.subarray(from)), `from ${from}, ranges ${ranges}`);
      }
      await open({ pin: document.pin });
    }
  }
  assert.ok(
    server.requests.some(({ headers }) => headers['range'] === 'bytes=300000-' && headers['if-match'] !== undefined),
  );
});

test('a document without a length is read to its end', async (t) => {
  const { serve, open } = await start(t);
  serve({ sized: false, ranges: false });
  const document = await open();
  assert.equal(document.totalBytes, null);
  assert.ok((await bytesFrom(document, 100)).equals(text.subarray(100)));
});

test('broken connections are taken up again where they broke', async (t) => {
  const { server, serve, open } = await start(t);
  serve();
  const document = await open();
  for (const fault of [
    { truncateAfter: 100_000, faultyAnswers: 3 },
    { status: 503, faultyAnswers: 2 },
  ]) {
    serve(fault);
    const before = server.requests.length;
    assert.ok((await bytesFrom(document, 10)).equals(text.subarray(10)));
    assert.ok(server.requests.length - before >= 3, JSON.stringify(fault));
  }
  serve({ pace: { bytes: 200_000, pauseMs: 400 } });
  assert.ok((await bytesFrom(document, 0)).equals(text), 'slow but alive');
});

test('trouble without an end hands the job back; silence is trouble', async (t) => {
  const { server, serve, open } = await start(t);
  serve();
  const http = { allowHosts: ['127.0.0.1'], ca: server.ca, silenceMs: 1_000 };
  const impatient = { http, patienceMs: 1_500 };
  const document = await open(impatient);
  const retryable = (message: RegExp) => (error: unknown) =>
    error instanceof RetryableFailure && error.code === 'source_unreadable' && message.test(error.message);
  serve({ status: 500 });
  await assert.rejects(bytesFrom(document, 9), retryable(/nothing at offset 9 for 1.5 s.*answers 500/));
  await assert.rejects(open(impatient), retryable(/answers 500/));
  serve({ pace: { bytes: 10, pauseMs: 2_000 } });
  await assert.rejects(bytesFrom(document, 9), retryable(/nothing came for 1 s/));
});

test('a changed document is refused: at opening, between reads and midway', async (t) => {
  const { serve, open } = await start(t);
  for (const validator of [{}, { etag: null, lastModified }, { etag: 'weak', lastModified }]) {
    serve(validator);
    const document = await open();
    const changed = rejected('source_changed', /expected (etag|stat):.*found/);
    const changedValidator = 'lastModified' in validator ? { ...validator, lastModified: new Date() } : validator;
    serve({ ...changedValidator, body: other });
    await assert.rejects(bytesFrom(document, 0), changed);
    await assert.rejects(bytesFrom(document, 1000), changed);
    await assert.rejects(open({ pin: document.pin }), changed);

    serve({ ...validator, truncateAfter: 50_000 });
    const midway = document.read(0, never)[Symbol.asyncIterator]();
    await midway.next();
    serve({ ...changedValidator, body: other });
    await assert.rejects(async () => {
      while (!(await midway.next()).done);
    }, changed);
  }
});

test('a server that names no version: one read from the start, and a clear refusal to go on', async (t) => {
  const { serve, open } = await start(t);
  for (const etag of [null, 'weak'] as const) {
    serve({ etag });
    const document = await open();
    assert.ok((await bytesFrom(document, 0)).equals(text));
    const unproven = rejected('source_changed', /neither a strong ETag nor Last-Modified/);
    await assert.rejects(bytesFrom(document, 5), unproven);
    await assert.rejects(open({ pin: document.pin }), unproven);
    serve({ etag, truncateAfter: 100_000, faultyAnswers: 1 });
    await assert.rejects(bytesFrom(document, 0), unproven);
  }
});

test('what a server says no to is final', async (t) => {
  const { serve, open } = await start(t);
  await assert.rejects(open(), rejected('source_not_found', /does not exist \(404\)/));
  for (const [status, code] of [
    [403, 'source_forbidden'],
    [401, 'source_forbidden'],
    [410, 'source_not_found'],
    [400, 'source_unreadable'],
  ] as const) {
    serve({ status });
    await assert.rejects(open(), rejected(code, new RegExp(`${status}`)), `${status}`);
  }
  serve({ body: Buffer.alloc(0) });
  await assert.rejects(open(), rejected('source_empty', /no bytes/));
  serve({ body: Buffer.alloc(0), ranges: false });
  await assert.rejects(open(), rejected('source_empty', /no bytes/));
  serve({ headers: { 'content-encoding': 'gzip' } });
  await assert.rejects(open(), rejected('source_unreadable', /Content-Encoding gzip/));
});

test('redirects: at most three, each held to the same rules', async (t) => {
  const { server, serve, open } = await start(t);
  serve();
  const hop = (n: number) => server.serve(`/hop${n}`, { body: text, redirectTo: n === 1 ? '/book' : `/hop${n - 1}` });
  for (let n = 1; n <= 4; n++) hop(n);
  assert.ok((await bytesFrom(await open({}, `${server.httpsUrl}/hop3`), 7)).equals(text.subarray(7)));
  await assert.rejects(open({}, `${server.httpsUrl}/hop4`), rejected('source_unreadable', /more than 3 times/));
  const forbidden: [string, RegExp][] = [
    [`${server.httpUrl}/book`, /only https is asked/],
    ['file:///etc/passwd', /only https is asked/],
    ['https://169.254.169.254/latest/meta-data', /169\.254\.169\.254 is not a public address \(linkLocal\)/],
    ['https://[::ffff:10.0.0.1]/', /not a public address/],
    [`https://user:secret@127.0.0.1/`, /user name or password/],
  ];
  for (const [redirectTo, message] of forbidden) {
    server.serve('/away', { body: text, redirectTo });
    await assert.rejects(open({}, `${server.httpsUrl}/away`), rejected('source_forbidden', message), redirectTo);
  }
});

test('addresses that are not public are never connected to', async (t) => {
  const { server, serve, open } = await start(t);
  serve();
  const { port } = new URL(server.httpsUrl);
  const http = { ca: server.ca };
  const hosts = [
    '127.0.0.1',
    'localhost',
    '[::1]',
    '0x7f.1',
    '2130706433',
    '[::ffff:127.0.0.1]',
    '10.0.0.1',
    '169.254.169.254',
    '[fd00:ec2::254]',
  ];
  for (const host of hosts) {
    await assert.rejects(
      open({ http }, `https://${host}:${port}/book`),
      rejected('source_forbidden', /not a public address/),
      host,
    );
  }
  assert.equal(server.requests.length, 0);
  await assert.rejects(open({ http }, 'https://user:secret@example.com/'), (error) => {
    assert.ok(rejected('source_forbidden', /user name or password/)(error));
    return !String(error).includes('secret');
  });
});

test('a certificate that is not trusted is refused', async (t) => {
  const { serve, open } = await start(t);
  serve();
  const http = { allowHosts: ['127.0.0.1'] };
  await assert.rejects(open({ http }), rejected('source_unreadable', /certificate of 127\.0\.0\.1:\d+ is not trusted/));
});

test('an aborted read ends at once', async (t) => {
  const { serve, open } = await start(t);
  serve();
  const document = await open();
  serve({ pace: { bytes: 10_000, pauseMs: 200 } });
  const controller = new AbortController();
  const reading = document.read(0, controller.signal)[Symbol.asyncIterator]();
  await reading.next();
  setTimeout(() => controller.abort(new Error('stop')), 50);
  await assert.rejects(async () => {
    while (!(await reading.next()).done);
  }, /stop/);
});
