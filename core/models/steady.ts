import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, RejectedJob, RetryableFailure } from '../contracts/errors.ts';
import type { PartSource, SourceFile } from './part-source.ts';

/** Attempts in a row that bring no byte before the source is given up. */
const FRUITLESS = 8;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;

/**
 * Bytes [from, end) of a file, through connections that break: each is taken up where it broke, after a pause that grows
 * and is jittered. Errors: the source's own where it stays away; `model_corrupt` where it sends more than was asked for.
 */
export async function* steadyRange(
  source: PartSource,
  file: SourceFile,
  { from, end }: { readonly from: number; readonly end: number },
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const at = `${file.name} of ${source.url}`;
  let next = from;
  for (let fruitless = 0; next < end; ) {
    signal.throwIfAborted();
    const before = next;
    try {
      for await (const piece of source.openRange(file, { from: next, end }, signal)) {
        next += piece.length;
        if (next > end)
          throw new RejectedJob('model_corrupt', `${at} goes on to byte ${next}; expected it to end at ${end}`);
        yield piece;
      }
      if (next < end) throw new RetryableFailure('store_unavailable', `${at} ended at byte ${next} of ${end}`);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof RetryableFailure) || error.code !== 'store_unavailable') throw error;
      fruitless = next > before ? 0 : fruitless + 1;
      if (fruitless >= FRUITLESS) {
        const text = `${at}: no byte beyond ${next} came in ${FRUITLESS} attempts: ${describeError(error)}`;
        throw new RetryableFailure('store_unavailable', text, { cause: error });
      }
      const pause = Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** fruitless);
      await sleep(pause, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}
