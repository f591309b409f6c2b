import { LonghaulError } from '@longhaul/core/contracts';
import { z } from 'zod';
import type { Span } from './span.ts';

/** US dollars an hour of one worker. */
export interface Price {
  readonly low: number;
  readonly high: number;
}

const priceTakes = 'takes US dollars an hour, LOW or LOW-HIGH, above 0, as in 0.35-1.2';
const amount = '[0-9]{1,6}(?:\\.[0-9]{1,6})?';

/** `LOW` or `LOW-HIGH`, as in `1.2` or `0.35-1.2`. */
export const PriceRange = z
  .string()
  .regex(new RegExp(`^${amount}(?:-${amount})?$`), { error: priceTakes })
  .transform((text): Price => {
    const [low = 0, high = low] = text.split('-').map(Number);
    return { low, high };
  })
  .refine(({ low, high }) => low <= high && high > 0, { error: priceTakes });

/** @throws LonghaulError `invalid_argument` naming the flag, what it takes and what was found */
export function parsePrice(flag: string, text: string): Price {
  const parsed = PriceRange.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new LonghaulError('invalid_argument', `${flag} ${priceTakes}; found ${JSON.stringify(text.slice(0, 120))}`);
}

/** US dollars of so many seconds. */
export function costOf(seconds: Span | null, price: Price | null): Span | null {
  if (seconds === null || price === null) return null;
  return {
    low: (seconds.low * price.low) / 3600,
    high: seconds.high === null ? null : (seconds.high * price.high) / 3600,
  };
}
