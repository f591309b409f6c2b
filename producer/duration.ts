import { LonghaulError } from '@longhaul/core/contracts';

const units: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const least = 1000;
const most = 365 * 86_400_000;

/** Milliseconds of `90s`, `90m`, `2h`, `3d`. @throws LonghaulError `invalid_argument` naming the flag and what was found */
export function parseDuration(flag: string, text: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text.trim()) ?? [];
  const milliseconds = Number(number) * (units[unit] ?? Number.NaN);
  if (milliseconds >= least && milliseconds <= most) return Math.round(milliseconds);
  throw new LonghaulError(
    'invalid_argument',
    `${flag} takes a number with s, m, h or d (90m, 2h, 3d), from 1s to 365d; found ${JSON.stringify(text)}`,
  );
}
