import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { get as getSecure } from 'node:https';
import { type TestContext, test } from 'node:test';
import { type DocumentServer, type ServedDocument, startDocumentServer } from '../support/http-server.ts';

async function open(t: TestContext) {
  const server = await startDocumentServer();
  t.after(() => server.close());
  const read = (headers: Record<string, string> = {}, method = 'GET') =>
    fetch(`${server.httpUrl}/d`, { method, headers, redirect: 'manual' });
  return { server, read };
}

const text = Buffer.from('0123456789');
const serve = (server: DocumentServer, more: Partial<ServedDocument> = {}) =>
  server.serve('/d', { body: text, ...more });

test('a document has its length, its ETag and its ranges', async (t) => {
  const { server, read } = await open(t);
  assert.equal((await read()).status, 404);
  serve(server, { lastModified: new Date(0) });
  const whole = await read();
  assert.equal(await whole.text(), '0123456789');
  const etag = whole.headers.get('etag')!;
  assert.equal((await read({}, 'HEAD')).headers.get('content-length'), '10');
  const part = await read({ range: 'bytes=2-4', 'if-match': etag });
  assert.deepEqual([part.status, part.headers.get('content-range'), await part.text()], [206, 'bytes 2-4/10', '234']);
  assert.equal((await read({ range: 'bytes=10-' })).status, 416);
  assert.equal((await read({ 'if-match': '"other"' })).status, 412);
  assert.equal((await read({ 'if-none-match': etag })).status, 304);
  assert.equal((await read({ range: 'bytes=2-4', 'if-range': etag })).status, 206);
  assert.equal((await read({ range: 'bytes=2-4', 'if-range': '"other"' })).status, 200);
  assert.equal((await read({ range: 'bytes=2-4', 'if-range': new Date(0).toUTCString() })).status, 206);
  assert.equal((await read({ range: 'bytes=2-4', 'if-range': new Date().toUTCString() })).status, 200);
  assert.equal(server.requests.at(-1)!.headers['range'], 'bytes=2-4');
});

test('content changes between reads, and its ETag with it', async (t) => {
  const { server, read } = await open(t);
  serve(server);
  const etag = (await read()).headers.get('etag')!;
  server.onRequest = () => serve(server, { body: Buffer.from('changed') });
  assert.equal((await read({ range: 'bytes=1-', 'if-match': etag })).status, 412);
});

test('a server may lack ranges, length or a strong ETag', async (t) => {
  const { server, read } = await open(t);
  serve(server, { ranges: false, sized: false, etag: null });
  const plain = await read({ range: 'bytes=5-' });
  const { headers } = plain;
  assert.deepEqual([plain.status, headers.get('etag'), headers.get('content-length')], [200, null, null]);
  assert.equal(await plain.text(), '0123456789');
  serve(server, { etag: 'weak' });
  const weak = (await read()).headers.get('etag')!;
  assert.match(weak, /^W\/"/);
  assert.equal((await read({ 'if-match': weak })).status, 412);
  assert.equal((await read({ range: 'bytes=5-', 'if-range': weak })).status, 200);
});

test('a server may refuse, redirect, break off and dawdle', async (t) => {
  const { server, read } = await open(t);
  for (const status of [403, 404, 500]) {
    serve(server, { status, faultyAnswers: 1 });
    assert.equal((await read()).status, status);
    assert.equal((await read()).status, 200);
  }
  serve(server, { redirectTo: '/elsewhere' });
  const redirect = await read();
  assert.deepEqual([redirect.status, redirect.headers.get('location')], [302, '/elsewhere']);
  serve(server, { body: randomBytes(100_000), truncateAfter: 50_000, faultyAnswers: 1 });
  await assert.rejects((await read()).arrayBuffer());
  assert.equal((await (await read()).arrayBuffer()).byteLength, 100_000);
  serve(server, { pace: { bytes: 2, pauseMs: 20 } });
  const start = performance.now();
  assert.equal(await (await read()).text(), '0123456789');
  assert.ok(performance.now() - start >= 90);
});

test('HTTPS serves the same documents to whoever trusts the certificate, and to nobody else', async (t) => {
  const { server } = await open(t);
  serve(server);
  const read = (options: { ca?: string }, url = server.httpsUrl) =>
    new Promise<string>((resolve, reject) => {
      getSecure(`${url}/d`, { ...options, agent: false }, async (answer) => {
        const parts: Buffer[] = [];
        for await (const part of answer) parts.push(part as Buffer);
        resolve(Buffer.concat(parts).toString());
      }).on('error', reject);
    });
  assert.equal(await read({ ca: server.ca }), '0123456789');
  assert.equal(await read({ ca: server.ca }, server.httpsUrl.replace('127.0.0.1', 'localhost')), '0123456789');
  await assert.rejects(read({}), /self.signed/i);
});
