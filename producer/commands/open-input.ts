import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { LonghaulError, limits } from '@longhaul/core/contracts';
import { type CommandContext, write } from '../context.ts';
import type { SubmittedDocument, SubmittedText } from '../place-document.ts';
import { showUpload } from '../render/upload-bar.ts';
import { inlineSource, parseSeparator, parseSubmitInput } from '../source.ts';
import { type FileRequest, openLocalFile, openStream, readFileOf, type TakenAs } from './open-file.ts';
import { defaultSeparator, parseTakenAs, type SubmitOptions } from './submission.ts';

/** What a command line names as its document; several are joined; none, and no text: there is none. */
export async function openDocument(
  documents: readonly string[],
  options: Pick<SubmitOptions, 'text' | 'separator' | 'as'>,
  onExtracted: FileRequest['onExtracted'],
  context: CommandContext,
): Promise<SubmittedDocument> {
  const request = { as: parseTakenAs(options.as), onExtracted };
  if (options.text !== undefined) return { kind: 'source', source: inlineSource(options.text) };
  const [first] = documents;
  if (first === undefined) return { kind: 'none' };
  if (documents.length === 1) return await openText(first, request, context);
  const parts: SubmittedText[] = [];
  for (const document of documents) parts.push(await openText(document, request, context));
  return { kind: 'joined', parts, separator: parseSeparator(options.separator ?? defaultSeparator) };
}

async function openText(document: string, request: FileRequest, context: CommandContext): Promise<SubmittedText> {
  const input = parseSubmitInput(document);
  switch (input.kind) {
    case 'in-place':
      checkInPlace(document, request.as);
      return { kind: 'source', source: input.source };
    case 'stdin':
      if (context.stdin.isTTY === true)
        await write(context.stderr, 'reading the document from the terminal; end with Ctrl-D\n');
      return { kind: 'upload', body: await openStream(context.stdin, 'standard input', request, context) };
    case 'file': {
      const { path, size } = await findFile(input.path, 'a document', context);
      return { kind: 'upload', body: await openLocalFile(path, size, request, context) };
    }
  }
}

/** @throws LonghaulError `invalid_argument` where a worker, which extracts nothing, reads the document */
function checkInPlace(document: string, as: TakenAs): void {
  if (as === 'auto' || as === 'text') return;
  const message = `--as ${as} is for files of this side; ${document} is read by the workers as it is: download it first`;
  throw new LonghaulError('invalid_argument', message);
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
