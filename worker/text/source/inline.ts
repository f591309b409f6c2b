import { createHash } from 'node:crypto';
import { limits, RejectedJob } from '@longhaul/core/contracts';
import type { RawSource } from './raw-source.ts';

/** Text that stands in the job itself. */
export function openInline(text: string): RawSource {
  const bytes = Buffer.from(text);
  if (bytes.length > limits.inlineBytes) {
    const message = `inline text of ${bytes.length} bytes; at most ${limits.inlineBytes} may stand in a job`;
    throw new RejectedJob('source_too_large', message);
  }
  return {
    name: 'the inline text',
    pin: { tag: `sha256:${createHash('sha256').update(bytes).digest('hex')}`, bytes: bytes.length },
    head: async () => bytes.subarray(0, 4),
    async *read(from) {
      if (from < bytes.length) yield bytes.subarray(from);
    },
  };
}
