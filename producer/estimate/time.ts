import type { Rates } from './rate.ts';
import type { Span } from './span.ts';

/**
 * Seconds that reading, and at most so much writing, holds a worker. From no writing at all to all of it; null where the
 * reading's own speed is not known. A count that is null is not known.
 */
export function secondsOf(readTokens: number | null, writeTokens: number | null, { read, write }: Rates): Span | null {
  const reading =
    readTokens === 0 ? 0 : readTokens === null || read === null ? null : readTokens / read.tokensPerSecond;
  if (reading === null) return null;
  // At a speed that is a floor, it may take less time by any factor.
  const low = read?.source === 'at-least' ? 0 : reading;
  if (writeTokens === 0) return { low, high: reading };
  const known = writeTokens !== null && write !== null;
  return { low, high: known ? reading + writeTokens / write.tokensPerSecond : null };
}
