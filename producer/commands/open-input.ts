import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { LonghaulError, limits, RetryableFailure } from '@longhaul/core/contracts';
import { type CommandContext, write } from '../context.ts';
import type { SubmittedDocument, SubmittedText } from '../place-document.ts';
import { showUpload } from '../render/upload-bar.ts';
import { inlineSource, parseSeparator, parseSubmitInput } from '../source.ts';
import { defaultSeparator, type SubmitOptions } from './submission.ts';

/** What a command line names as its document; several are joined; none, and no text: there is none. */
export async function openDocument(
  documents: readonly string[],
  options: Pick<SubmitOptions, 'text' | 'separator'>,
  context: CommandContext,
): Promise<SubmittedDocument> {
  if (options.text !== undefined) return { kind: 'source', source: inlineSource(options.text) };
  const [first] = documents;
  if (first === undefined) return { kind: 'none' };
  if (documents.length === 1) return await openText(first, context);
  const parts: SubmittedText[] = [];
  for (const document of documents) parts.push(await openText(document, context));
  return { kind: 'joined', parts, separator: parseSeparator(options.separator ?? defaultSeparator) };
}

async function openText(document: string, context: CommandContext): Promise<SubmittedText> {
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

/** The lines of a batch; `-` is standard input. */
export async function openLines(file: string, context: CommandContext): Promise<AsyncIterable<Uint8Array>> {
  if (file === '-') return showUpload(context.stdin, null, context);
  const { path, size } = await findFile(file, 'a file of lines', context);
  return showUpload(readFileOf(path), size, context);
}

/** The options with what the file of `--messages` holds, where there is one; `-` is standard input. */
export async function withMessages<T extends SubmitOptions>(
  documents: readonly string[],
  options: T,
  context: CommandContext,
): Promise<T> {
  const { messages: file } = options;
  if (file === undefined) return options;
  const standardInputs = [...documents, options.questions, file].filter((one) => one === '-').length;
  if (standardInputs > 1) {
    throw new LonghaulError('invalid_argument', `standard input is read once; found ${standardInputs} uses of -`);
  }
  const body = file === '-' ? context.stdin : readFileOf((await findFile(file, 'chat messages', context)).path);
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of body) {
    parts.push(Buffer.from(part));
    bytes += part.length;
    if (bytes > limits.specBytes) {
      throw new LonghaulError('invalid_argument', `--messages takes at most ${limits.specBytes} bytes of JSON`);
    }
  }
  return { ...options, messages: Buffer.concat(parts).toString('utf8') };
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
