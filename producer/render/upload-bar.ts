import { Presets, SingleBar } from 'cli-progress';
import { type CommandContext, write } from '../context.ts';
import { bytes } from './format.ts';

const lineEveryMs = 5000;

/** Passes a document on, and shows on stderr how much of it has gone: a bar on a terminal, lines elsewhere. */
export async function* showUpload(
  body: AsyncIterable<Uint8Array>,
  totalBytes: number | null,
  { stderr, clock, signal }: CommandContext,
): AsyncGenerator<Uint8Array, void> {
  const terminal = stderr.isTTY === true && totalBytes !== null && totalBytes > 0;
  const format = 'storing {bar} {percentage}% | {sent} of {size} | ETA {eta_formatted}';
  const options = { format, stream: stderr as NodeJS.WriteStream, hideCursor: true, clearOnComplete: true };
  const bar = terminal ? new SingleBar(options, Presets.shades_classic) : null;
  let sent = 0;
  let shownAt = clock.now();
  bar?.start(totalBytes ?? 0, 0, { sent: bytes(0), size: bytes(totalBytes ?? 0) });
  try {
    for await (const chunk of body) {
      signal.throwIfAborted();
      sent += chunk.length;
      bar?.update(sent, { sent: bytes(sent) });
      if (bar === null && clock.now() - shownAt >= lineEveryMs) {
        shownAt = clock.now();
        await write(stderr, `stored ${bytes(sent)}${totalBytes === null ? '' : ` of ${bytes(totalBytes)}`}\n`);
      }
      yield chunk;
    }
  } finally {
    bar?.stop();
  }
}
