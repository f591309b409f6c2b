import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { LonghaulError, RetryableFailure } from '@longhaul/core/contracts';
import { type CommandContext, write } from '../context.ts';
import type { Submission } from '../producer.ts';
import { showUpload } from '../render/upload-bar.ts';
import { inlineSource, parseSubmitInput } from '../source.ts';

/** What a command line names as its document; both undefined: none. */
export async function openDocument(
  document: string | undefined,
  text: string | undefined,
  context: CommandContext,
): Promise<Submission['document']> {
  if (text !== undefined) return { kind: 'source', source: inlineSource(text) };
  if (document === undefined) return { kind: 'none' };
  const input = parseSubmitInput(document);
  switch (input.kind) {
    case 'in-place':
      return { kind: 'source', source: input.source };
    case 'stdin':
      if (context.stdin.isTTY === true)
        await write(context.stderr, 'reading the document from the terminal; end with Ctrl-D\n');
      return { kind: 'upload', body: showUpload(context.stdin, null, context) };
    case 'file': {
      const { path, size } = await findFile(input.path, 'a document', context);
      return { kind: 'upload', body: showUpload(readFileOf(path), size, context) };
    }
  }
}

/** The file of `--questions`; `-` is standard input. */
export async function openQuestions(file: string, context: CommandContext): Promise<AsyncIterable<Uint8Array>> {
  if (file === '-') return context.stdin;
  return readFileOf((await findFile(file, 'a file of questions', context)).path);
}

async function findFile(named: string, what: string, { cwd }: CommandContext) {
  const path = resolve(cwd, named);
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR')
      throw new LonghaulError('source_not_found', `no file ${path}`);
    throw new LonghaulError('source_unreadable', `${path} cannot be read`, { cause });
  });
  if (found.isDirectory()) throw new LonghaulError('source_unreadable', `${path} is a directory, not ${what}`);
  return { path, size: found.isFile() ? found.size : null };
}

/** Opened when the store asks for the first byte. @throws LonghaulError `source_unreadable` naming the file */
async function* readFileOf(path: string): AsyncGenerator<Uint8Array, void> {
  try {
    yield* createReadStream(path, { highWaterMark: 1 << 20 });
  } catch (cause) {
    if (cause instanceof LonghaulError || cause instanceof RetryableFailure) throw cause;
    throw new LonghaulError('source_unreadable', `${basename(path)} could not be read to its end`, { cause });
  }
}
