import { readFile } from 'node:fs/promises';
import { LonghaulError } from '@longhaul/core/contracts';
import { openArchive, tooLarge, unreadable } from './archive.ts';
import { docxPieces } from './docx.ts';
import { epubPieces } from './epub.ts';
import type { Piece } from './extraction.ts';
import { htmlText } from './html.ts';
import { extractLimits as limits } from './limits.ts';
import { pdfPieces } from './pdf.ts';
import type { Extracted, ExtractKind } from './report.ts';

const units = { pdf: 'page', epub: 'chapter', docx: 'document', html: 'document' } as const;

/**
 * Writes the text of a file piece by piece, an empty line between two, and tells how far it is.
 * @throws LonghaulError `source_unreadable`, `source_too_large`, and `source_empty` where there is no text at all
 */
export async function extractFile(
  path: string,
  asked: ExtractKind | 'zip',
  out: { write(text: string): Promise<void>; progress(piece: Piece, unit: string): void },
): Promise<Extracted> {
  const { kind, pieces } = await open(path, asked);
  const unit = units[kind];
  let [textBytes, found, empty] = [0, 0, 0];
  for await (const piece of pieces) {
    found++;
    // Characters that no text holds: NUL, and halves of pairs.
    const text = piece.text.replaceAll('\0', '').toWellFormed();
    if (text === '') empty++;
    else {
      const written = textBytes === 0 ? text : `\n\n${text}`;
      textBytes += Buffer.byteLength(written);
      if (textBytes > limits.textBytes)
        throw tooLarge(`its text has more than ${limits.textBytes} bytes`, limits.textBytes);
      await out.write(written);
    }
    out.progress(piece, unit);
  }
  if (textBytes === 0) throw new LonghaulError('source_empty', noText(kind, found));
  await out.write('\n');
  return { as: kind, textBytes: textBytes + 1, unit, units: found, emptyUnits: empty };
}

async function open(
  path: string,
  asked: ExtractKind | 'zip',
): Promise<{ kind: ExtractKind; pieces: AsyncIterable<Piece> }> {
  if (asked === 'pdf') return { kind: 'pdf', pieces: pdfPieces(path) };
  if (asked === 'html') return { kind: 'html', pieces: htmlPieces(path) };
  const archive = await openArchive(path);
  const isBook = archive.has('META-INF/container.xml');
  const isWord = archive.has('word/document.xml');
  if (asked !== 'docx' && isBook) return { kind: 'epub', pieces: epubPieces(archive) };
  if (asked !== 'epub' && isWord) return { kind: 'docx', pieces: docxPieces(path, archive) };
  const wanted = asked === 'zip' ? 'neither an EPUB nor a DOCX' : `no ${asked.toUpperCase()}`;
  throw unreadable(`it is a ZIP archive of ${archive.names.length} entries, and ${wanted}`);
}

async function* htmlPieces(path: string): AsyncGenerator<Piece> {
  yield { text: htmlText(await readFile(path)), done: 1, total: 1 };
}

function noText(kind: ExtractKind, units: number): string {
  if (kind !== 'pdf') return 'it has no text';
  return `it has ${units} ${units === 1 ? 'page' : 'pages'} and no text layer: they are images, which want OCR first`;
}
