import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { describeError, type ErrorCode } from '@longhaul/core/contracts';
import { extractFile } from '../../producer/extract/extract-file.ts';
import { type ExtractOptions, extractText } from '../../producer/extract/extract-text.ts';
import type { Extracted, ExtractKind } from '../../producer/extract/report.ts';
import { sniff } from '../../producer/extract/sniff.ts';
import { docx, epub, pdf, zip } from '../support/paper.ts';
import { never } from '../support/text-documents.ts';

let dir = '';
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'longhaul-extract-'));
});
after(() => rm(dir, { recursive: true, force: true }));

let files = 0;

async function extract(bytes: Uint8Array | string, kind?: ExtractKind | 'zip', more: Partial<ExtractOptions> = {}) {
  const path = join(dir, String(++files));
  await writeFile(path, bytes);
  const found = kind ?? (sniff(Buffer.from(bytes as string)) as ExtractKind | 'zip');
  const reports: Extracted[] = [];
  const options = {
    name: 'the file',
    execPath: process.execPath,
    signal: never,
    onProgress: () => {},
    onDone: (extracted: Extracted) => void reports.push(extracted),
    ...more,
  };
  const whole = await text(extractText(path, found, options));
  return { whole, ...reports[0]! };
}

/** Without a process around it: what only that could prove is proved by `extract`. */
async function extractHere(bytes: Uint8Array | string, kind: ExtractKind | 'zip' = 'zip'): Promise<string> {
  const path = join(dir, String(++files));
  await writeFile(path, bytes);
  let whole = '';
  const write = async (some: string) => {
    whole += some;
  };
  await extractFile(path, kind, { write, progress: () => {} });
  return whole;
}

async function refused(name: string, found: Promise<unknown>, code: ErrorCode, message: RegExp): Promise<void> {
  await assert.rejects(found, (error: Error & { code?: string }) => {
    assert.equal(error.code, code, `${name}: ${error}`);
    assert.match(describeError(error), message, name);
    return true;
  });
}

test('a file is known by its first bytes', () => {
  const known: [string, Uint8Array | string][] = [
    ['pdf', pdf([['x']])],
    ['zip', epub({ 'a.xhtml': 'x' })],
    ['zip', zip([])],
    ['ole', Buffer.from('d0cf11e0a1b11ae100', 'hex')],
    ['html', '<!DOCTYPE html><p>x'],
    ['html', '\ufeff \n<!-- a --><?xml version="1.0"?><!-- b > -->\n<HTML lang="en">'],
    ['text', '<p>a fragment'],
    ['text', 'What %PDF-1.4 means'],
    ['text', '<html-like'],
    ['text', '<!-- no end '],
    ['text', gzipSync('x')],
    ['text', ''],
  ];
  for (const [kind, bytes] of known)
    assert.equal(sniff(Buffer.from(bytes as string)), kind, String(bytes).slice(0, 20));
  // Processor time: what else runs on the machine does not count.
  const before = process.cpuUsage();
  assert.equal(sniff(Buffer.from('<!---->'.repeat(10_000))), 'text');
  const { user, system } = process.cpuUsage(before);
  assert.ok(user + system < 1_000_000, `${user + system} µs`);
});

test('PDF: pages in order, lines as they were set, paragraphs parted', async () => {
  const progress: string[] = [];
  const pages = [['One (1)', 'goes on', null, 'Another'], ['Second page'], []];
  const { whole, ...told } = await extract(pdf(pages), undefined, {
    onProgress: (done, total, unit) => void progress.push(`${unit} ${done}/${total}`),
  });
  assert.equal(whole, 'One (1)\ngoes on\n\nAnother\n\nSecond page\n');
  assert.deepEqual(told, { as: 'pdf', textBytes: whole.length, unit: 'page', units: 3, emptyUnits: 1 });
  assert.deepEqual(progress, ['page 1/3', 'page 2/3', 'page 3/3']);
});

test('HTML: what a reader sees, in the character set that the page names', async () => {
  const page =
    '<!doctype html><head><title>no</title><style>no{}</style></head><body><h1>Head</h1><p>One <b>bold</b>\nline.</p>' +
    '<script>no()</script><p>Caf&eacute; &lt;x&gt; <a href="https://no.example">link</a></p><ul><li>a</li><li>b</li></ul>' +
    '<table><tr><td>r1</td><td>r2</td></tr></table></body>';
  const { whole } = await extract(page);
  assert.match(whole, /^Head\n\nOne bold line\.\n\nCafé <x> link\n\n \* a\n \* b\n\nr1 +r2\n$/);
  const latin = Buffer.from('<!doctype html><meta charset="iso-8859-1"><p>na\xefve', 'latin1');
  assert.equal(await extractHere(latin, 'html'), 'naïve\n');
  assert.equal(await extractHere(Buffer.from('<!doctype html><p>na\xefve', 'latin1'), 'html'), 'naïve\n');
  assert.equal(await extractHere(Buffer.from('\ufeff<html><p>読む', 'utf16le'), 'html'), '読む\n');
  const odd = extractHere('<!doctype html><meta charset="klingon-1"><p>x', 'html');
  await refused('character set', odd, 'source_unreadable', /character set "klingon-1" is not known/);
});

test('EPUB: chapters in the order of the spine', async () => {
  const { whole, ...told } = await extract(
    epub({ 'z%20first.xhtml': '<p>First.</p>', 'a/second.xhtml': '<h2>II</h2>Second.' }, [
      { name: 'OEBPS/z first.xhtml', data: '<html><body><p>First.</p><p>More.</p></body></html>' },
    ]),
  );
  assert.equal(whole, 'First.\n\nMore.\n\nII\n\nSecond.\n');
  assert.deepEqual(told, { as: 'epub', textBytes: whole.length, unit: 'chapter', units: 2, emptyUnits: 0 });
});

test('DOCX: paragraphs', async () => {
  const { whole, as, units } = await extract(docx(['One &amp; two.', 'Three — 四.']));
  assert.deepEqual([whole, as, units], ['One & two.\n\nThree — 四.\n', 'docx', 1]);
});

test('what holds no text says so', async () => {
  await refused(
    'pages of images',
    extract(pdf([[], []])),
    'source_empty',
    /^the file: it has 2 pages and no text layer: .*OCR/,
  );
  await refused(
    'empty page',
    extract('<!doctype html><body><img src=x></body>'),
    'source_empty',
    /^the file: it has no text$/,
  );
  await refused('empty document', extractHere(docx([])), 'source_empty', /no text/);
});

test('archives that are not what they should be are refused with what they are', async () => {
  const xhtml = '<p>x</p>';
  const cases: [string, Uint8Array, ExtractKind | 'zip', RegExp][] = [
    ['neither', zip([{ name: 'a.txt', data: 'x' }]), 'zip', /ZIP archive of 1 entries, and neither an EPUB nor a DOCX/],
    ['not the one asked for', docx(['x']), 'epub', /and no EPUB/],
    ['cut off', epub({ 'a.xhtml': xhtml }).subarray(0, -30), 'zip', /no sound ZIP archive/],
    ['no archive', Buffer.from('PK\x03\x04 and no more'), 'zip', /no sound ZIP archive/],
    [
      'leads out',
      zip([{ name: '../../etc/passwd', data: 'x' }]),
      'zip',
      /directory of its archive is not sound.*invalid relative path/,
    ],
    ['absolute', zip([{ name: '/etc/passwd', data: 'x' }]), 'zip', /absolute path/],
    ['backslashes', zip([{ name: '..\\x', data: 'x' }]), 'zip', /invalid characters in fileName/],
    [
      'twice',
      zip([
        { name: 'a', data: 'x' },
        { name: 'a', data: 'y' },
      ]),
      'zip',
      /two entries named "a"/,
    ],
    ['encrypted', zip([{ name: 'a', data: 'x', encrypted: true }]), 'zip', /entry "a" is encrypted/],
    ['spine leads out', epub({ '../../x.xhtml': xhtml }), 'zip', /leads out of it/],
    [
      'spine leads nowhere',
      zip([{ name: 'META-INF/container.xml', data: '<rootfile full-path="no.opf"/>' }]),
      'zip',
      /names "no\.opf", which is not in the archive/,
    ],
    ['no package', zip([{ name: 'META-INF/container.xml', data: '<x/>' }]), 'zip', /names no package/],
    ['no spine', epub({}), 'zip', /no spine/],
    [
      'DRM',
      epub({ 'a.xhtml': xhtml }, [
        { name: 'META-INF/encryption.xml', data: '<enc:CipherReference URI="OEBPS/a.xhtml"/>' },
      ]),
      'zip',
      /"OEBPS\/a\.xhtml" is encrypted \(DRM\)/,
    ],
    ['more bytes than said', epub({}, [{ name: 'OEBPS/big', data: 'x' }]), 'docx', /no DOCX/],
  ];
  for (const [name, bytes, kind, message] of cases)
    await refused(name, extractHere(bytes, kind), 'source_unreadable', message);
  const damaged = epub({ 'a.xhtml': `<p>${'word '.repeat(5000)}</p>` });
  damaged.fill(0xff, damaged.indexOf('OEBPS/a.xhtml') + 20, damaged.indexOf('OEBPS/a.xhtml') + 60);
  await refused('damaged', extractHere(damaged), 'source_unreadable', /entry "OEBPS\/a\.xhtml" is damaged/);
  const lying = docx(['x'], undefined, [{ name: 'word/big.xml', data: 'y'.repeat(100_000), claimedBytes: 10 }]);
  await refused('lying', extractHere(lying), 'source_unreadable', /entry "word\/big\.xml" is damaged/);
});

test('bombs: what inflates too far, has too many entries or too deep names is refused by its limit', async () => {
  const mebibyte = 1024 * 1024;
  const zeros = (n: number) => Buffer.alloc(n * mebibyte, ' ');
  const cases: [string, Uint8Array, RegExp][] = [
    [
      'ratio',
      docx(['x'], undefined, [{ name: 'word/bomb.xml', data: zeros(20) }]),
      /word\/bomb\.xml inflates to \d+ times its \d+ bytes and more; at most 200 may be extracted/,
    ],
    ['ratio of a chapter', epub({ 'a.xhtml': zeros(30).toString() }), /inflates to \d+ times/],
    [
      'one entry',
      docx(['x'], undefined, [
        { name: 'word/bomb.xml', data: Buffer.concat([zeros(64), Buffer.alloc(mebibyte, 'x')]), stored: true },
      ]),
      /inflates to more bytes; at most 67108864/,
    ],
    [
      'entries',
      zip(Array.from({ length: 20_001 }, (_, i) => ({ name: `${i}`, data: '', stored: true }))),
      /has 20001 entries; at most 20000/,
    ],
    ['long name', zip([{ name: 'n'.repeat(513), data: 'x' }]), /has 513 characters; at most 512/],
    ['deep name', zip([{ name: `${'d/'.repeat(40)}x`, data: 'x' }]), /has 41 folders; at most 32/],
  ];
  for (const [name, bytes, message] of cases) await refused(name, extractHere(bytes), 'source_too_large', message);
});

test('XML entities are not expanded, neither inside nor from outside', async () => {
  const entities = Array.from({ length: 10 }, (_, i) => `<!ENTITY e${i + 1} "${`&e${i};`.repeat(10)}">`).join('');
  const laughs = `<!DOCTYPE x [<!ENTITY e0 "ha">${entities}<!ENTITY f SYSTEM "file:///etc/passwd">]>`;
  const bomb = zip([
    { name: 'META-INF/container.xml', data: `${laughs}<rootfile full-path="b.opf"/>` },
    { name: 'b.opf', data: `${laughs}<item id="a" href="a.xhtml" media-type="x/html"/><itemref idref="a"/>` },
    { name: 'a.xhtml', data: `${laughs}<html><body><p>before &e10; &f; after</p></body></html>` },
  ]);
  const whole = await extractHere(bomb);
  assert.match(whole, /before &e10; &f; after/);
  const inWord = zip([
    {
      name: '[Content_Types].xml',
      data: '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
    },
    {
      name: 'word/document.xml',
      data: `<?xml version="1.0"?>${laughs}<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>before &e10;&f; after</w:t></w:r></w:p></w:body></w:document>`,
    },
  ]);
  const found = await extractHere(inWord).catch((error: Error) => error.message);
  assert.doesNotMatch(found, /hahaha|root:/);
});

test('a PDF that is broken, encrypted or no PDF is refused; its process alone ends', async () => {
  const encrypt =
    '/Encrypt << /Filter /Standard /V 1 /R 2 /O <' +
    '00'.repeat(32) +
    '> /U <' +
    '11'.repeat(32) +
    '> /P -4 >> /ID [<00> <00>]';
  await refused('encrypted', extract(pdf([['secret']], encrypt)), 'source_unreadable', /^the file: it is encrypted/);
  await refused('cut', extract(Buffer.from('%PDF-1.7\n')), 'source_unreadable', /^the file: it is no sound PDF/);
  await refused('no PDF', extractHere('hello', 'pdf'), 'source_unreadable', /no sound PDF/);
});

test('a file that takes too much memory or time ends its process, and is refused by the limit', async () => {
  const deep = `<!doctype html>${'<div>'.repeat(2_000_000)}x`;
  const small = { heapMiB: 64 };
  await refused(
    'heap',
    extract(deep, 'html', { limits: small }),
    'source_too_large',
    /^the file needs more than 64 MiB of memory/,
  );
  const resident = { residentBytes: 20 * 1024 * 1024 };
  await refused(
    'resident',
    extract(deep, 'html', { limits: resident }),
    'source_too_large',
    /^the file needs more than 20 MiB of memory/,
  );
  await refused(
    'silence',
    extract(deep, 'html', { limits: { silenceMs: 1 } }),
    'source_unreadable',
    /^the file gave no page for 0\.001 s/,
  );
  await refused(
    'time',
    extract(deep, 'html', { limits: { totalMs: 1 } }),
    'source_too_large',
    /takes more than 0\.001 s/,
  );
  const stop = new AbortController();
  const stopped = extract(deep, 'html', { signal: stop.signal });
  setTimeout(() => stop.abort(new Error('enough')), 100);
  await assert.rejects(stopped, /enough/);
});
