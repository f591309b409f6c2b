import type { Extracted } from '../extract/report.ts';
import { bytes } from './format.ts';

/** One line of what came out of a file, and one where part of it gave nothing. */
export function extractedText(name: string, { as, textBytes, unit, units, emptyUnits }: Extracted): string {
  const what = as.toUpperCase();
  const of = unit === 'document' ? what : `${what} of ${units} ${unit}${units === 1 ? '' : 's'}`;
  const line = `${name}: ${bytes(textBytes)} of text from a ${of}\n`;
  if (as !== 'pdf' || emptyUnits === 0) return line;
  const pages = emptyUnits === 1 ? 'page has' : 'pages have';
  return `${line}${name}: ${emptyUnits} of ${units} ${pages} no text layer and ${emptyUnits === 1 ? 'is' : 'are'} left out: OCR it first\n`;
}
