import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';

const SLICE_BYTES = 1024 * 1024;

/** sha256 over the parts, one after the other. Long input is hashed in slices, so that the event loop is not held up. */
export async function sha256(...parts: readonly Uint8Array[]): Promise<Buffer> {
  const hash = createHash('sha256');
  for (const part of parts) {
    for (let at = 0; at < part.length; at += SLICE_BYTES) {
      if (at > 0) await turn();
      hash.update(part.subarray(at, at + SLICE_BYTES));
    }
  }
  return hash.digest();
}
