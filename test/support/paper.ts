import { crc32, deflateRawSync } from 'node:zlib';

export interface ZipEntry {
  readonly name: string;
  readonly data: Uint8Array | string;
  /** What the directory says of the inflated size; the truth by default. */
  readonly claimedBytes?: number;
  readonly encrypted?: boolean;
  readonly stored?: boolean;
}

/** A ZIP archive, as sound or as unsound as a test needs. */
export function zip(entries: readonly ZipEntry[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, data, claimedBytes, encrypted = false, stored = false } of entries) {
    const raw = Buffer.from(data as string);
    const body = stored ? raw : deflateRawSync(raw);
    const nameBytes = Buffer.from(name);
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(0x0800 | (encrypted ? 1 : 0), 2);
    fields.writeUInt16LE(stored ? 0 : 8, 4);
    fields.writeUInt32LE(crc32(raw), 10);
    fields.writeUInt32LE(body.length, 14);
    fields.writeUInt32LE(claimedBytes ?? raw.length, 18);
    fields.writeUInt16LE(nameBytes.length, 22);
    parts.push(Buffer.from('PK\x03\x04', 'latin1'), fields, nameBytes, body);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.from('PK\x01\x02\x14\x00', 'latin1'), fields, tail, nameBytes);
    offset += 30 + nameBytes.length + body.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, central, end]);
}

const container = (path: string) =>
  `<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>` +
  `<rootfile full-path="${path}" media-type="application/oebps-package+xml"/></rootfiles></container>`;

/** A book whose spine is in the order given, and whose archive is in the order of the names. */
export function epub(chapters: Readonly<Record<string, string>>, more: readonly ZipEntry[] = []): Buffer {
  const names = Object.keys(chapters);
  const items = names.map((name, i) => `<item id="c${i}" href="${name}" media-type="application/xhtml+xml"/>`);
  const spine = names.map((_, i) => `<itemref idref="c${i}"/>`);
  const opf = `<package><manifest>${items.sort().join('')}</manifest><spine>${spine.join('')}</spine></package>`;
  return zip([
    { name: 'mimetype', data: 'application/epub+zip', stored: true },
    { name: 'META-INF/container.xml', data: container('OEBPS/book.opf') },
    { name: 'OEBPS/book.opf', data: opf },
    ...names
      .filter((name) => !name.startsWith('..'))
      .sort()
      .map((name) => ({ name: `OEBPS/${name}`, data: `<html><body>${chapters[name]}</body></html>` })),
    ...more,
  ]);
}

/** A Word document of plain paragraphs; `body` in place of them is its XML. */
export function docx(paragraphs: readonly string[], body?: string, more: readonly ZipEntry[] = []): Buffer {
  const w = 'http://schemas.openxmlformats.org/wordprocessingml/2006/main';
  const text = body ?? paragraphs.map((one) => `<w:p><w:r><w:t>${one}</w:t></w:r></w:p>`).join('');
  const office = 'http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument';
  return zip([
    {
      name: '[Content_Types].xml',
      data: `<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>`,
    },
    {
      name: '_rels/.rels',
      data: `<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="${office}" Target="word/document.xml"/></Relationships>`,
    },
    {
      name: 'word/document.xml',
      data: `<?xml version="1.0"?><w:document xmlns:w="${w}"><w:body>${text}</w:body></w:document>`,
    },
    ...more,
  ]);
}

/** A PDF whose pages are lines of text, 14 units apart; null is a gap of two lines, a page of no lines an image's. */
export function pdf(pages: readonly (readonly (string | null)[])[], trailer = ''): Buffer {
  const objects: string[] = ['', '', '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>'];
  const kids: number[] = [];
  for (const lines of pages) {
    const shown = lines.map((line) =>
      line === null ? '0 -14 Td' : `(${line.replace(/[\\()]/g, '\\$&')}) Tj 0 -14 Td`,
    );
    const content = `BT /F1 12 Tf 72 720 Td ${shown.join('\n')} ET`;
    objects.push(`<< /Length ${content.length} >>\nstream\n${content}\nendstream`);
    objects.push(
      `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> /Contents ${objects.length} 0 R >>`,
    );
    kids.push(objects.length);
  }
  objects[0] = '<< /Type /Catalog /Pages 2 0 R >>';
  objects[1] = `<< /Type /Pages /Kids [${kids.map((n) => `${n} 0 R`).join(' ')}] /Count ${kids.length} >>`;
  let text = '%PDF-1.4\n';
  const offsets: number[] = [];
  for (const [i, object] of objects.entries()) {
    offsets.push(text.length);
    text += `${i + 1} 0 obj\n${object}\nendobj\n`;
  }
  const xref = offsets.map((at) => `${String(at).padStart(10, '0')} 00000 n \n`).join('');
  const size = objects.length + 1;
  return Buffer.from(
    `${text}xref\n0 ${size}\n0000000000 65535 f \n${xref}trailer\n<< /Size ${size} /Root 1 0 R ${trailer} >>\nstartxref\n${text.length}\n%%EOF\n`,
    'latin1',
  );
}
