import type { Extracted } from '../extract/report.ts';
import { bytes } from './format.ts';

/** One line of what came out of a file, and one where part of it gave nothing. */
export function extractedText(name: string, { as, textBytes, unit, units, emptyUnits }: Extracted): string {
  const from = `${units} ${unit}${units === 1 ? '' : 's'} of ${as.toUpperCase()}`;
  const line = `${name}: ${bytes(textBytes)} of text from ${from}\n`;
  if (as !== 'pdf' || emptyUnits === 0) return line;
  return `${line}${name}: ${emptyUnits} of ${units} pages left out: they have no text layer and want OCR first\n`;
}
