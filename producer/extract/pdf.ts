import { readFile } from 'node:fs/promises';
import { getDocumentProxy } from 'unpdf';
import { tooLarge, unreadable } from './archive.ts';
import type { Piece } from './extraction.ts';
import { extractLimits as limits } from './limits.ts';

/** One run of text: `transform[5]` is its baseline, in units of the page from the bottom up. */
interface Run {
  readonly str: string;
  readonly transform: readonly number[];
  readonly hasEOL: boolean;
}

interface Line {
  readonly text: string;
  readonly y: number;
}

/** The text of a PDF page by page, in the order in which it was set; a page without a text layer gives ''. */
export async function* pdfPieces(path: string): AsyncGenerator<Piece> {
  const data = new Uint8Array(await readFile(path));
  const pdf = await getDocumentProxy(data, { verbosity: 0 }).catch((cause: unknown) => {
    if ((cause as Error).name === 'PasswordException') throw unreadable('it is encrypted: remove its password first');
    throw unreadable(`it is no sound PDF: ${(cause as Error).message}`);
  });
  const total = pdf.numPages;
  if (total > limits.pages) throw tooLarge(`it has ${total} pages`, limits.pages);
  for (let n = 1; n <= total; n++) {
    const page = await pdf.getPage(n);
    const { items } = await page.getTextContent();
    yield { text: pageText(items.filter((item) => 'str' in item)), done: n, total };
    page.cleanup();
  }
}

/** Lines as they were set; an empty line where the gap before one is wider than the page's usual one. */
export function pageText(runs: readonly Run[]): string {
  const lines = linesOf(runs);
  const gaps = lines.slice(1).map(({ y }, i) => lines[i]!.y - y);
  const usual = median(gaps.filter((gap) => gap > 0));
  return lines
    .map(({ text }, i) => {
      if (i === 0) return text;
      const gap = gaps[i - 1]!;
      return (usual !== null && gap > 1.3 * usual ? '\n\n' : '\n') + text;
    })
    .join('')
    .trim();
}

function linesOf(runs: readonly Run[]): Line[] {
  const lines: Line[] = [];
  let [text, y] = ['', 0];
  for (const { str, transform, hasEOL } of runs) {
    if (text === '' && str.trim() !== '') y = transform[5] ?? 0;
    text += str;
    if (!hasEOL) continue;
    if (text.trim() !== '') lines.push({ text: text.trimEnd(), y });
    text = '';
  }
  if (text.trim() !== '') lines.push({ text: text.trimEnd(), y });
  return lines;
}

function median(values: readonly number[]): number | null {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 1] ?? null;
}
