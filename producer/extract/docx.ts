import { readFile } from 'node:fs/promises';
import mammoth from 'mammoth';
import type { Archive } from './archive.ts';
import type { Piece } from './extraction.ts';

/** The paragraphs of a Word document, parted by empty lines. */
export async function* docxPieces(path: string, archive: Archive): AsyncGenerator<Piece> {
  // mammoth inflates what it likes: each of its parts is held to our limits first.
  for (const name of archive.names) if (/\.(xml|rels)$/i.test(name)) await archive.read(name);
  const { value } = await mammoth.extractRawText({ buffer: await readFile(path) });
  yield { text: value.trim(), done: 1, total: 1 };
}
