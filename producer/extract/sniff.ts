/** What a file is to us; `zip` is an EPUB or a DOCX, which its entries tell. */
export type Sniffed = 'pdf' | 'zip' | 'html' | 'ole' | 'text';

/** Bytes that `sniff` wants to see. */
export const sniffBytes = 1024;

const marks: readonly (readonly [string, Sniffed])[] = [
  ['%PDF-', 'pdf'],
  ['PK\x03\x04', 'zip'],
  ['PK\x05\x06', 'zip'],
  ['\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1', 'ole'],
];

/** By the first bytes alone: names lie, and standard input has none. What is not known is text. */
export function sniff(head: Uint8Array): Sniffed {
  const text = Buffer.from(head.subarray(0, sniffBytes)).toString('latin1');
  const mark = marks.find(([bytes]) => text.startsWith(bytes));
  if (mark !== undefined) return mark[1];
  return /^<(?:!doctype\s+html|html|head|body)[\s>]/i.test(behindProlog(text)) ? 'html' : 'text';
}

/** Behind a byte order mark, white space, an XML declaration and comments. */
function behindProlog(text: string): string {
  let rest = text.replace(/^\xef\xbb\xbf/, '').trimStart();
  for (;;) {
    const end = rest.startsWith('<!--') ? '-->' : rest.startsWith('<?xml') ? '?>' : null;
    const at = end === null ? -1 : rest.indexOf(end);
    if (end === null || at < 0) return rest;
    rest = rest.slice(at + end.length).trimStart();
  }
}
