import { S3Error } from './errors.ts';

/** Bytes [from, end). */
export interface ByteRange {
  readonly from: number;
  readonly end: number;
}

/** The one range asked for; null means the whole object (no header, or one that S3 ignores). Unsatisfiable is 416. */
export function parseRange(header: string | undefined, size: number): ByteRange | null {
  const match = header === undefined ? null : /^bytes=(\d*)-(\d*)$/.exec(header.trim());
  if (match === null || (match[1] === '' && match[2] === '')) return null;
  const [, first = '', last = ''] = match;
  if (first === '') {
    const suffix = Math.min(Number(last), size);
    if (suffix === 0) throw invalidRange(size);
    return { from: size - suffix, end: size };
  }
  const from = Number(first);
  if (last !== '' && Number(last) < from) return null;
  if (from >= size) throw invalidRange(size);
  return { from, end: last === '' ? size : Math.min(Number(last) + 1, size) };
}

const invalidRange = (size: number) =>
  new S3Error(416, 'InvalidRange', `The requested range is not satisfiable; the object has ${size} bytes`);
