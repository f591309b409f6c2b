import { createHash } from 'node:crypto';
import type { FileId } from './file.ts';

const crockford = '0123456789abcdefghjkmnpqrstvwxyz';

/** 10 characters of time and 16 of chance in Crockford's base 32: sorts by the millisecond. */
export function timeId(date: Date, random: Uint8Array): string {
  let time = '';
  for (let rest = date.getTime(), i = 0; i < 10; i++, rest = Math.floor(rest / 32)) time = crockford[rest % 32] + time;
  return `${time}${Array.from(random.subarray(0, 16), (byte) => crockford[byte % 32]).join('')}`;
}

export function newFileId(date: Date, random: Uint8Array): FileId {
  return `file-${timeId(date, random)}`;
}

/** A file whose maker may come twice: the same words always give the same id, which sorts by `date` too. */
export function derivedFileId(date: Date, ...words: readonly string[]): FileId {
  return newFileId(date, createHash('sha256').update(words.join('\n')).digest());
}
