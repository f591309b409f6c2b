import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { finished } from 'node:stream/promises';
import { LonghaulError } from '@longhaul/core/contracts';
import { type CommandContext, write } from '../context.ts';

/** Writes to standard output (`-`), or to a file that appears under its name only when it is whole. */
export async function deliver(
  pieces: AsyncIterable<string | Uint8Array>,
  output: string,
  context: CommandContext,
): Promise<void> {
  if (output === '-') {
    for await (const piece of pieces) await write(context.stdout, piece);
    return;
  }
  const path = resolve(context.cwd, output);
  const draft = `${path}.${randomBytes(6).toString('hex')}.part`;
  try {
    const file = createWriteStream(draft, { flags: 'wx' });
    const closed = finished(file);
    closed.catch(() => undefined);
    for await (const piece of pieces) await write(file, piece);
    file.end();
    await closed;
    await rename(draft, path);
  } catch (cause) {
    await rm(draft, { force: true });
    if (cause instanceof LonghaulError) throw cause;
    throw new LonghaulError('invalid_argument', `--output ${path} cannot be written`, { cause });
  }
}
