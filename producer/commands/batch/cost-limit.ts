import type { CostLimit } from '@longhaul/core/batches';
import { LonghaulError } from '@longhaul/core/contracts';
import { parsePrice } from '../../estimate/price.ts';
import type { Session } from '../../session.ts';
import { parseNumber } from '../shared.ts';

/** A limit counts at the high end of the price: it is not gone beyond. @throws LonghaulError `invalid_argument` */
export function costLimit(
  options: { readonly maxCost?: string; readonly price?: string },
  { config }: Session,
): CostLimit | null {
  if (options.maxCost === undefined) return null;
  const dollars = parseNumber('--max-cost', options.maxCost, { least: 0.01, most: 1e9, whole: false });
  const price = options.price === undefined ? config.pricePerHour : parsePrice('--price', options.price);
  if (price !== null) return { dollars, dollarsPerHour: price.high };
  throw new LonghaulError(
    'invalid_argument',
    '--max-cost needs the price of an hour: give --price, or set LONGHAUL_PRICE_PER_HOUR',
  );
}
