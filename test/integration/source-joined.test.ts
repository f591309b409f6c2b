import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import {
  DocumentSource,
  type JoinedSource,
  limits,
  RejectedJob,
  RetryableFailure,
  SourcePin,
} from '@longhaul/core/contracts';
import { openStore } from '@longhaul/core/ledger';
import { type Document, type OpenDocumentOptions, openDocument } from '@longhaul/worker/text';
import { startDocumentServer } from '../support/http-server.ts';
import { never } from '../support/text-documents.ts';

const rejected = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof RejectedJob && error.code === code && message.test(error.message);
const bytesFrom = (document: Document, from: number) => buffer(document.read(from, never));
const chapter = (name: string, lines: number) => Buffer.from(`chapter ${name}\n${'and so on — 読\n'.repeat(lines)}`);

async function start(t: TestContext) {
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-joined-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const store = await openStore(`file://${dir}/store`);
  t.after(() => store.close());
  const server = await startDocumentServer();
  t.after(() => server.close());
  const put = async (name: string, bytes: Uint8Array) => {
    await writeFile(join(dir, name), bytes);
    return { kind: 'file', path: join(dir, name) } as const;
  };
  const open = (parts: JoinedSource['parts'], separator: string, more: Partial<OpenDocumentOptions> = {}) =>
    openDocument(
      { kind: 'joined', parts, separator },
      {
        store,
        openBucket: null,
        fileRoots: [dir],
        compression: 'auto',
        pin: null,
        signal: never,
        http: { allowHosts: ['127.0.0.1'], ca: server.ca, silenceMs: 20_000 },
        patienceMs: 500,
        ...more,
      },
    );
  return { store, server, put, open };
}

test('parts of every kind and container read as the one file that they make, from any offset', async (t) => {
  const { store, server, put, open } = await start(t);
  const texts = [chapter('1', 2000), chapter('2', 1), chapter('3', 900), chapter('4', 30), chapter('5', 3)];
  await store.putIfAbsent('inputs/3', texts[2]!);
  server.serve('/4', { body: texts[3]!, ranges: false, sized: false });
  const parts: JoinedSource['parts'] = [
    await put('1.txt', texts[0]!),
    await put('2.gz', gzipSync(texts[1]!)),
    { kind: 'stored', key: 'inputs/3' },
    { kind: 'https', url: `${server.httpsUrl}/4` },
    await put('5.zst', zstdCompressSync(texts[4]!)),
  ];
  for (const separator of ['', '\n\n', '—§—']) {
    const between = Buffer.from(separator);
    const whole = Buffer.concat(texts.flatMap((text, i) => (i === 0 ? [text] : [between, text])));
    const document = await open(parts, separator);
    assert.equal(document.totalBytes, null);
    // Every offset around the seams, and some in the parts.
    const seams: number[] = [];
    let at = 0;
    for (const text of texts) {
      at += text.length;
      for (let d = -2; d <= between.length + 2; d++) seams.push(at + d);
      at += between.length;
    }
    for (const from of [0, 1, 5000, ...seams.filter((from) => from <= whole.length)]) {
      assert.ok(
        (await bytesFrom(document, from)).equals(whole.subarray(from)),
        `${JSON.stringify(separator)} from ${from}`,
      );
    }
    await assert.rejects(
      bytesFrom(document, whole.length + 1),
      rejected('checkpoint_corrupt', /behind the end of 5 joined/),
    );
  }
});

test('bytes and pins are those of the whole', async (t) => {
  const { put, open } = await start(t);
  const [a, b] = [await put('a', chapter('a', 10)), await put('b', chapter('b', 20))];
  const { totalBytes, pin } = await open([a, b], '\n\n');
  assert.equal(totalBytes, chapter('a', 10).length + 2 + chapter('b', 20).length);
  assert.equal(pin.bytes, totalBytes! - 2);
  assert.match(pin.tag, /^joined:[0-9a-f]{64}:[0-9a-f]{8}$/);
  await open([a, b], '\n\n', { pin });
  const tags = [
    pin.tag,
    ...(await Promise.all([open([b, a], '\n\n'), open([a, b], '\n'), open([a], '')])).map((d) => d.pin.tag),
  ];
  assert.equal(new Set(tags).size, 4, 'order, separator and number are in the pin');
  await assert.rejects(open([a, b], '\n', { pin }), rejected('source_changed', /one part has changed/));
  const many = Array.from({ length: limits.joinedParts }, (_, i) => (i % 2 === 0 ? a : b));
  SourcePin.parse((await open(many, '')).pin);
});

test('a changed part is refused by name: at a resume, and while it is read', async (t) => {
  const { server, put, open } = await start(t);
  server.serve('/web', { body: chapter('web', 5) });
  const parts: JoinedSource['parts'] = [
    await put('one.txt', chapter('one', 5)),
    await put('two.txt', chapter('two', 5)),
    { kind: 'https', url: `${server.httpsUrl}/web` },
  ];
  const document = await open(parts, '\n');
  const { pin } = document;
  await put('two.txt', chapter('TWO', 5));
  await assert.rejects(
    open(parts, '\n', { pin }),
    rejected(
      'source_changed',
      /^part 2 of 3 has changed since it was first read: expected joined:[0-9a-f]{64}, found joined:[0-9a-f]{64} with stat:/,
    ),
  );
  await assert.rejects(bytesFrom(document, 0), rejected('source_changed', /^part 2 of 3: .*two\.txt has changed/));
  server.serve('/web', { body: chapter('WEB', 5) });
  await assert.rejects(open(parts, '\n', { pin }), rejected('source_changed', /^part 2, 3 of 3 has changed/));

  server.serve('/web', { body: chapter('web', 5), etag: null });
  const unnamed = await open(parts, '\n');
  await assert.rejects(
    open(parts, '\n', { pin: unnamed.pin }),
    rejected('source_changed', /^part 3 of 3: .*neither a strong ETag/),
  );
});

test('what is wrong with a part says which part, and keeps its fate', async (t) => {
  const { server, put, open } = await start(t);
  const good = await put('good', chapter('good', 1));
  const bad: [JoinedSource['parts'][number], string, RegExp][] = [
    [{ kind: 'file', path: `${good.path}-not` }, 'source_not_found', /^part 2 of 2: .*good-not does not exist/],
    [{ kind: 'file', path: '/etc/hostname' }, 'source_forbidden', /^part 2 of 2: .*outside of LONGHAUL_FILE_ROOTS/],
    [{ kind: 'https', url: 'https://127.0.0.2/' }, 'source_forbidden', /^part 2 of 2: .*loopback/],
    [await put('empty', Buffer.alloc(0)), 'source_empty', /^part 2 of 2: .*no bytes/],
    [
      await put('cut.gz', gzipSync(chapter('x', 50)).subarray(0, -9)),
      'corrupt_compression',
      /^part 2 of 2: .*compressed byte/,
    ],
  ];
  for (const [part, code, message] of bad) {
    await assert.rejects(async () => await bytesFrom(await open([good, part], ''), 0), rejected(code, message), code);
  }
  server.serve('/ill', { body: chapter('ill', 1), status: 503 });
  await assert.rejects(open([{ kind: 'https', url: `${server.httpsUrl}/ill` }, good], ''), (error) => {
    return error instanceof RetryableFailure && /^part 1 of 2: .*answers 503/.test(error.message);
  });
});

test('a joined document of none, of too many or of joined ones is no document', () => {
  const part = { kind: 'inline', text: 'x' } as const;
  const joined = (parts: readonly unknown[], separator = '') =>
    DocumentSource.safeParse({ kind: 'joined', parts, separator });
  assert.ok(joined(Array(limits.joinedParts).fill(part)).success);
  assert.ok(!joined([]).success);
  assert.ok(!joined(Array(limits.joinedParts + 1).fill(part)).success);
  assert.ok(!joined([{ kind: 'joined', parts: [part], separator: '' }]).success);
  assert.ok(!joined([part], 'é'.repeat(2049)).success);
});

test('the digest of joined texts is that of the file, whatever the parts are cut into', async (t) => {
  const { put, open } = await start(t);
  const whole = chapter('whole', 500);
  const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
  for (const pieces of [1, 2, 3, 7]) {
    const size = Math.ceil(whole.length / pieces);
    const parts = [];
    // Cut anywhere, also within a character.
    for (let i = 0; i < pieces; i++) parts.push(await put(`${pieces}-${i}`, whole.subarray(i * size, (i + 1) * size)));
    assert.equal(digest(await bytesFrom(await open(parts, ''), 0)), digest(whole), `${pieces} pieces`);
  }
});
