import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, RetryableFailure } from '@longhaul/core/contracts';

const firstPauseMs = 200;
const longestPauseMs = 5_000;

/**
 * Bytes [from, end) through broken connections: goes on where the last one ended, with growing pauses, until nothing
 * has come for `patienceMs`. Only a RetryableFailure is worth another try.
 */
export async function* readPersistently(
  open: (from: number) => AsyncIterable<Uint8Array>,
  from: number,
  options: { readonly name: string; readonly patienceMs: number; readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array> {
  let at = from;
  let pauseMs = firstPauseMs;
  let troubleSince: number | null = null;
  for (;;) {
    try {
      for await (const bytes of open(at)) {
        troubleSince = null;
        pauseMs = firstPauseMs;
        at += bytes.length;
        yield bytes;
      }
      return;
    } catch (error) {
      options.signal.throwIfAborted();
      if (!(error instanceof RetryableFailure)) throw error;
      troubleSince ??= performance.now();
      const leftMs = options.patienceMs - (performance.now() - troubleSince);
      if (leftMs <= 0) {
        const seconds = options.patienceMs / 1000;
        const message = `${options.name} gave nothing at offset ${at} for ${seconds} s: ${describeError(error)}`;
        throw new RetryableFailure('source_unreadable', message, { cause: error });
      }
      await sleep(Math.min(pauseMs, leftMs), undefined, { signal: options.signal }).catch(() => {});
      options.signal.throwIfAborted();
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    }
  }
}
