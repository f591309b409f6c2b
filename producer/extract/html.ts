import { convert, type HtmlToTextOptions } from 'html-to-text';
import { tooLarge, unreadable } from './archive.ts';
import { extractLimits as limits } from './limits.ts';

const skipped = ['script', 'style', 'noscript', 'template', 'svg', 'img', 'iframe', 'object'];
const headings = ['h1', 'h2', 'h3', 'h4', 'h5', 'h6'];

const options: HtmlToTextOptions = {
  wordwrap: false,
  baseElements: { selectors: ['body'], returnDomByDefault: true },
  limits: { maxInputLength: limits.entryBytes },
  selectors: [
    ...skipped.map((selector) => ({ selector, format: 'skip' })),
    ...headings.map((selector) => ({ selector, options: { uppercase: false } })),
    { selector: 'a', options: { ignoreHref: true } },
    { selector: 'table', format: 'dataTable', options: { uppercaseHeaderCells: false } },
  ],
};

/** The text that a reader sees, paragraphs parted by empty lines. @throws LonghaulError */
export function htmlText(bytes: Uint8Array): string {
  if (bytes.length > limits.entryBytes) throw tooLarge(`the page has ${bytes.length} bytes`, limits.entryBytes);
  return convert(decode(bytes), options).trim();
}

/** By byte order mark, then by what the page says of itself, then as UTF-8, then as browsers take the rest. */
function decode(bytes: Uint8Array): string {
  const head = Buffer.from(bytes.subarray(0, 1024)).toString('latin1');
  const said = /^(?:<\?xml[^>]*encoding|[\s\S]*<meta[^>]*charset)\s*=\s*["']?\s*([\w-]+)/i.exec(head)?.[1];
  const marked = head.startsWith('\xff\xfe') ? 'utf-16le' : head.startsWith('\xfe\xff') ? 'utf-16be' : null;
  const label = marked ?? said ?? null;
  if (label !== null) {
    try {
      return new TextDecoder(label).decode(bytes);
    } catch {
      throw unreadable(`its character set ${JSON.stringify(label)} is not known`);
    }
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}
