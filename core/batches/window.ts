import { LonghaulError } from '../contracts/errors.ts';

const units: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const most = 365 * 86_400_000;

/** Milliseconds of `24h`, `90m`, `7d`, `30s`, from 1s to 365d. @throws LonghaulError `invalid_argument` */
export function parseWindow(field: string, text: string): number {
  const [, number = '', unit = ''] = /^([1-9][0-9]{0,8})([smhd])$/.exec(text) ?? [];
  const milliseconds = Number(number) * (units[unit] ?? Number.NaN);
  if (milliseconds >= 1000 && milliseconds <= most) return milliseconds;
  const shown = JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}…` : text);
  throw new LonghaulError(
    'invalid_argument',
    `${field}: a number with s, m, h or d, from 1s to 365d, as in 24h; found ${shown}`,
  );
}
