import { posix } from 'node:path';
import { Parser } from 'htmlparser2';
import { type Archive, tooLarge, unreadable } from './archive.ts';
import type { Piece } from './extraction.ts';
import { htmlText } from './html.ts';
import { extractLimits as limits } from './limits.ts';

/** The chapters of a book in the order of its spine; what the book sets beside it (`linear="no"`) is left out. */
export async function* epubPieces(archive: Archive): AsyncGenerator<Piece> {
  const container = tags(await archive.read('META-INF/container.xml'));
  const path = container.find(({ name }) => name === 'rootfile')?.attributes['full-path'];
  if (path === undefined) throw unreadable('META-INF/container.xml names no package');
  const chapters = spineOf(tags(await archive.read(within(path))), posix.dirname(path));
  if (chapters.length > limits.pages) throw tooLarge(`it has ${chapters.length} chapters`, limits.pages);
  const locked = await encryptedNames(archive);
  for (const [i, chapter] of chapters.entries()) {
    if (locked.has(chapter)) throw unreadable(`its chapter ${JSON.stringify(chapter)} is encrypted (DRM)`);
    yield { text: htmlText(await archive.read(chapter)), done: i + 1, total: chapters.length };
  }
}

function spineOf(found: readonly Tag[], folder: string): string[] {
  const items = new Map<string, string>();
  for (const { name, attributes } of found) {
    const { id, href, 'media-type': type = '' } = attributes;
    if (name === 'item' && id !== undefined && href !== undefined && /html/.test(type)) items.set(id, href);
  }
  const chapters = found
    .filter(({ name, attributes }) => name === 'itemref' && attributes['linear'] !== 'no')
    .flatMap(({ attributes }) => items.get(attributes['idref'] ?? '') ?? []);
  if (chapters.length === 0) throw unreadable('its package has no spine of chapters');
  return chapters.map((href) => within(posix.join(folder, unescaped(href.split('#')[0]!))));
}

/** What `META-INF/encryption.xml` names: the fonts of a book may be scrambled, its chapters are DRM. */
async function encryptedNames(archive: Archive): Promise<ReadonlySet<string>> {
  const name = 'META-INF/encryption.xml';
  if (!archive.has(name)) return new Set();
  const references = tags(await archive.read(name)).filter((tag) => tag.name === 'CipherReference');
  return new Set(references.map(({ attributes }) => posix.normalize(unescaped(attributes['URI'] ?? ''))));
}

/** @throws LonghaulError for a path that leads out of the archive */
function within(path: string): string {
  const normal = posix.normalize(path);
  if (normal.startsWith('../') || normal.startsWith('/'))
    throw unreadable(`its path ${JSON.stringify(path)} leads out of it`);
  return normal;
}

function unescaped(href: string): string {
  try {
    return decodeURIComponent(href);
  } catch {
    return href;
  }
}

interface Tag {
  /** Without the prefix of its namespace. */
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** Opening tags of an XML file, in order. The parser knows no entities but XML's own five, and so expands none. */
function tags(xml: Uint8Array): Tag[] {
  const found: Tag[] = [];
  const parser = new Parser(
    { onopentag: (name, attributes) => found.push({ name: name.split(':').at(-1)!, attributes }) },
    { xmlMode: true },
  );
  parser.end(Buffer.from(xml).toString('utf8'));
  return found;
}
