import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFile, mkdir, mkdtemp, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { limits, RejectedJob, type SourcePin, type TextSource } from '@longhaul/core/contracts';
import { openStore } from '@longhaul/core/ledger';
import { type Document, type OpenDocumentOptions, openDocument } from '@longhaul/worker/text';
import { never } from '../support/text-documents.ts';

const text = Buffer.from(Array.from({ length: 60_000 }, (_, i) => `line ${i}\n`).join(''));
const rejected = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof RejectedJob && error.code === code && message.test(error.message);

async function folders(t: TestContext) {
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-source-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const root = join(dir, 'root');
  await mkdir(root);
  const store = await openStore(`file://${dir}/store`);
  t.after(() => store.close());
  const open = (source: TextSource, more: Partial<OpenDocumentOptions> = {}) =>
    openDocument(source, {
      store,
      openBucket: null,
      fileRoots: [root],
      compression: 'auto',
      pin: null,
      signal: never,
      ...more,
    });
  const openFile = (path: string, more?: Partial<OpenDocumentOptions>) => open({ kind: 'file', path }, more);
  return { dir, root, store, open, openFile };
}

async function bytesFrom(document: Document, from: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of document.read(from, never)) parts.push(part);
  return Buffer.concat(parts);
}

test('a file is read from any offset, plain and compressed', async (t) => {
  const { root, openFile } = await folders(t);
  const forms = { plain: text, gz: gzipSync(text), zst: zstdCompressSync(text) };
  for (const [name, bytes] of Object.entries(forms)) {
    const path = join(root, `book.${name}`);
    await writeFile(path, bytes);
    const document = await openFile(path);
    assert.equal(document.totalBytes, name === 'plain' ? text.length : null);
    assert.equal(document.pin.bytes, bytes.length);
    for (const from of [0, 1, 300_000, text.length - 1, text.length]) {
      assert.ok((await bytesFrom(document, from)).equals(text.subarray(from)), `${name} from ${from}`);
    }
    await assert.rejects(bytesFrom(document, text.length + 1), rejected('checkpoint_corrupt', /behind the end/));
    // What is pinned opens again.
    await openFile(path, { pin: document.pin });
  }
  const path = join(root, 'book.gz');
  const raw = await openFile(path, { compression: 'none' });
  assert.ok((await bytesFrom(raw, 0)).equals(forms.gz));
  const wrong = await openFile(path, { compression: 'zstd' });
  await assert.rejects(
    bytesFrom(wrong, 0),
    rejected('corrupt_compression', /no sound zstd at about compressed byte 0/),
  );
});

test('a file that changed is refused: at opening, between reads and midway', async (t) => {
  const { root, openFile } = await folders(t);
  const path = join(root, 'book');
  const changes: [string, () => Promise<unknown>][] = [
    ['longer', () => appendFile(path, 'more')],
    ['touched', () => utimes(path, new Date(0), new Date(1_000))],
    [
      'replaced',
      async () => {
        await writeFile(join(root, 'other'), text);
        await rename(join(root, 'other'), path);
      },
    ],
    ['shorter', () => writeFile(path, text.subarray(0, 10))],
  ];
  const changed = rejected('source_changed', /expected stat:\d+:\d+:\d+ \(\d+ bytes\), found stat:/);
  for (const [name, change] of changes) {
    await writeFile(path, text);
    const document = await openFile(path);
    const reading = document.read(0, never)[Symbol.asyncIterator]();
    await reading.next();
    await change();
    await assert.rejects(openFile(path, { pin: document.pin }), changed, name);
    await assert.rejects(bytesFrom(document, 5), changed, name);
    // One that was replaced lives on for who has it open: those are the pinned bytes.
    const rest = (async () => {
      while (!(await reading.next()).done);
    })();
    if (name === 'replaced') await rest;
    else await assert.rejects(rest, changed, name);
  }
});

test('only regular files below a root are read', async (t) => {
  const { dir, root, openFile } = await folders(t);
  const secret = join(dir, 'secret');
  await writeFile(secret, text);
  await writeFile(join(root, 'book'), text);
  await symlink(secret, join(root, 'link'));
  await symlink(dir, join(root, 'up'));
  await symlink(join(root, 'book'), join(root, 'inner'));
  await mkdir(join(dir, 'root2'));
  await writeFile(join(dir, 'root2/book'), text);
  const outside = rejected('source_forbidden', /outside of LONGHAUL_FILE_ROOTS/);
  for (const path of [
    secret,
    join(root, 'link'),
    join(root, 'up/secret'),
    `${root}/../secret`,
    join(dir, 'root2/book'),
    root,
  ]) {
    await assert.rejects(openFile(path), outside, path);
  }
  await assert.rejects(openFile(join(root, 'book'), { fileRoots: [] }), outside);
  await openFile(join(root, 'inner'));
  await openFile(secret, { fileRoots: ['/nowhere', '/'] });

  execFileSync('mkfifo', [join(root, 'pipe')]);
  await mkdir(join(root, 'folder'));
  for (const name of ['pipe', 'folder']) {
    await assert.rejects(openFile(join(root, name)), rejected('source_forbidden', /not a regular file/), name);
  }
  await assert.rejects(openFile(join(root, 'absent')), rejected('source_not_found', /absent does not exist/));
  await assert.rejects(openFile(join(root, 'book/x')), rejected('source_not_found', /does not exist/));
});

test('documents without text are refused', async (t) => {
  const { root, open, openFile } = await folders(t);
  await writeFile(join(root, 'empty'), '');
  await assert.rejects(openFile(join(root, 'empty')), rejected('source_empty', /no bytes/));
  await assert.rejects(open({ kind: 'inline', text: '' }), rejected('source_empty', /inline text has no bytes/));
  await writeFile(join(root, 'empty.gz'), gzipSync(''));
  const compressed = await openFile(join(root, 'empty.gz'));
  await assert.rejects(bytesFrom(compressed, 0), rejected('source_empty', /once decompressed/));
});

test('inline text is pinned by its digest', async (t) => {
  const { open } = await folders(t);
  const document = await open({ kind: 'inline', text: 'naïve' });
  const tag = `sha256:${createHash('sha256').update('naïve').digest('hex')}`;
  assert.deepEqual(document.pin, { tag, bytes: 6 });
  assert.equal((await bytesFrom(document, 4)).toString(), 've');
  const other: SourcePin = { tag: `sha256:${'0'.repeat(64)}`, bytes: 6 };
  await assert.rejects(
    open({ kind: 'inline', text: 'naïve' }, { pin: other }),
    rejected('source_changed', /expected sha256:0+ .*found sha256:/),
  );
  const long = 'é'.repeat(limits.inlineBytes / 2 + 1);
  await assert.rejects(
    open({ kind: 'inline', text: long }),
    rejected('source_too_large', /65538 bytes; at most 65536/),
  );
});

test('a stored document is read through the store of the ledger', async (t) => {
  const { store, open } = await folders(t);
  await store.putIfAbsent('inputs/book', text);
  const document = await open({ kind: 'stored', key: 'inputs/book' });
  assert.match(document.pin.tag, /^etag:/);
  for (const from of [0, 70_000, text.length]) {
    assert.ok((await bytesFrom(document, from)).equals(text.subarray(from)));
  }
  await assert.rejects(
    open({ kind: 'stored', key: 'inputs/none' }),
    rejected('source_not_found', /inputs\/none does not exist/),
  );
  const info = await store.head('inputs/book');
  await store.putIfMatch('inputs/book', Buffer.from('another'), info!.etag);
  await assert.rejects(bytesFrom(document, 0), rejected('source_changed', /./));
  await assert.rejects(
    open({ kind: 'stored', key: 'inputs/book' }, { pin: document.pin }),
    rejected('source_changed', /expected etag:.*found etag:/),
  );
});

test('without S3 settings, an s3 source is refused', async (t) => {
  const { open } = await folders(t);
  const source: TextSource = { kind: 's3', bucket: 'books', key: 'a', versionId: null };
  await assert.rejects(open(source), rejected('source_forbidden', /no S3 settings/));
});

test('a document that inflates without end is refused by its ratio, and one below it is read', async (t) => {
  const { root, openFile } = await folders(t);
  const size = 80 * 1024 * 1024;
  const bomb = gzipSync(Buffer.alloc(size, 'a'));
  const path = join(root, 'bomb.gz');
  await writeFile(path, bomb);
  const length = async (document: Document) => {
    let bytes = 0;
    for await (const part of document.read(0, never)) bytes += part.length;
    return bytes;
  };
  await assert.rejects(
    length(await openFile(path)),
    rejected(
      'source_too_large',
      /its first \d+ compressed bytes inflate to more than \d+: at most 200 for each are read/,
    ),
  );
  assert.equal(await length(await openFile(path, { inflateRatio: 2000 })), size);
});

test('a PDF or an archive is named as what it is, before a byte of it is tokenized', async (t) => {
  const { root, openFile } = await folders(t);
  const papers: [string, Uint8Array, RegExp][] = [
    ['a.pdf', Buffer.from('%PDF-1.7 …'), /a\.pdf is a PDF, which workers do not read: submit it as a local file/],
    ['b.docx', Buffer.from('PK\x03\x04…'), /b\.docx is a ZIP archive \(as DOCX and EPUB are\)/],
    ['c.doc', Buffer.from('d0cf11e0a1b11ae1', 'hex'), /c\.doc is an Office file/],
  ];
  for (const [name, bytes, message] of papers) {
    await writeFile(join(root, name), bytes);
    await assert.rejects(openFile(join(root, name)), rejected('source_unreadable', message));
  }
  const asText = await openFile(join(root, 'a.pdf'), { compression: 'none' });
  assert.equal((await bytesFrom(asText, 0)).toString(), '%PDF-1.7 …');
});
