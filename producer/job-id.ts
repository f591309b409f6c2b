import { createHash } from 'node:crypto';
import type { JobId } from '@longhaul/core/contracts';

const crockford = '0123456789abcdefghjkmnpqrstvwxyz';

/** `j`, 10 characters of time and 16 of chance in Crockford's base 32: ids sort by the millisecond they were made in. */
export function timeJobId(milliseconds: number, random: Uint8Array): JobId {
  let time = '';
  for (let rest = milliseconds, i = 0; i < 10; i++, rest = Math.floor(rest / 32)) time = crockford[rest % 32] + time;
  const chance = Array.from(random.subarray(0, 16), (byte) => crockford[byte % 32]).join('');
  return `j${time}${chance}`;
}

/** The same tenant and key always give the same id, so a repeated submit meets the job that it made. */
export function keyedJobId(tenant: string, key: string): JobId {
  return `j${createHash('sha256').update(`${tenant}\n${key}`, 'utf8').digest('hex').slice(0, 40)}`;
}
