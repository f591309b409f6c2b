import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { LonghaulError, RetryableFailure } from '@longhaul/core/contracts';
import { type CommandContext, write } from '../context.ts';
import { extractText } from '../extract/extract-text.ts';
import { extractLimits } from '../extract/limits.ts';
import type { Extracted, ExtractKind } from '../extract/report.ts';
import { type Sniffed, sniff, sniffBytes } from '../extract/sniff.ts';
import { extractedText } from '../render/extracted.ts';
import { showUpload } from '../render/upload-bar.ts';

/** `--as`: what a file is taken for; `auto` by its first bytes. */
export type TakenAs = 'auto' | 'text' | ExtractKind;

export interface FileRequest {
  readonly as: TakenAs;
  /** Told once the text of a file that had to be extracted is through. */
  readonly onExtracted: (name: string, extracted: Extracted) => void;
}

const progressEveryMs = 5000;

/** A local file as bytes of text: as it is, or what is extracted from it. */
export async function openLocalFile(
  path: string,
  size: number | null,
  request: FileRequest,
  context: CommandContext,
): Promise<AsyncIterable<Uint8Array>> {
  if (size === null) return await openStream(readFileOf(path), basename(path), request, context);
  const kind = kindOf(request.as, sniff(await headOf(path)), basename(path));
  if (kind === null) return showUpload(readFileOf(path), size, context);
  checkSize(basename(path), size);
  return extracting(path, basename(path), kind, request, context);
}

/** Bytes that come once: where they are no text, they are put into a file first. */
export async function openStream(
  body: AsyncIterable<Uint8Array>,
  name: string,
  request: FileRequest,
  context: CommandContext,
): Promise<AsyncIterable<Uint8Array>> {
  if (request.as === 'text') return showUpload(body, null, context);
  const { head, whole } = await peek(body);
  const kind = kindOf(request.as, sniff(head), name);
  return kind === null ? showUpload(whole, null, context) : extractingStream(whole, name, kind, request, context);
}

/** Null: it is text as it stands. @throws LonghaulError `source_unreadable` for what nothing here reads */
function kindOf(as: TakenAs, found: Sniffed, name: string): ExtractKind | 'zip' | null {
  if (as !== 'auto') return as === 'text' ? null : as;
  if (found === 'text') return null;
  if (found !== 'ole') return found;
  const message = `${name} is an Office file of the old kind, or encrypted: save it as DOCX, PDF or text without a password`;
  throw new LonghaulError('source_unreadable', message);
}

async function* extracting(
  path: string,
  name: string,
  kind: ExtractKind | 'zip',
  { onExtracted }: FileRequest,
  context: CommandContext,
): AsyncGenerator<Uint8Array, void> {
  const { stderr, clock, signal, execPath } = context;
  let shownAt = clock.now();
  const onProgress = (done: number, total: number, unit: string): void => {
    if (clock.now() - shownAt < progressEveryMs) return;
    shownAt = clock.now();
    void write(stderr, `reading ${name}: ${unit} ${done} of ${total}\n`);
  };
  let came: Extracted | null = null;
  const onDone = (extracted: Extracted): void => {
    came = extracted;
  };
  yield* showUpload(extractText(path, kind, { name, execPath, signal, onProgress, onDone }), null, context);
  if (came === null) return;
  await write(stderr, extractedText(name, came));
  onExtracted(name, came);
}

async function* extractingStream(
  body: AsyncIterable<Uint8Array>,
  name: string,
  kind: ExtractKind | 'zip',
  request: FileRequest,
  context: CommandContext,
): AsyncGenerator<Uint8Array, void> {
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-document-'));
  try {
    const path = join(dir, 'document');
    let size = 0;
    const limited = new Transform({
      transform(chunk: Uint8Array, _encoding, done) {
        size += chunk.length;
        try {
          checkSize(name, size);
          done(null, chunk);
        } catch (error) {
          done(error as Error);
        }
      },
    });
    await pipeline(Readable.from(body), limited, createWriteStream(path, { mode: 0o600 }), { signal: context.signal });
    yield* extracting(path, name, kind, request, context);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function checkSize(name: string, size: number): void {
  const most = extractLimits.fileBytes;
  if (size <= most) return;
  throw new LonghaulError('source_too_large', `${name} has ${size} bytes and more; at most ${most} may be extracted`);
}

async function headOf(path: string): Promise<Uint8Array> {
  const handle = await open(path).catch((cause: unknown) => {
    throw new LonghaulError('source_unreadable', `${path} cannot be read`, { cause });
  });
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(sniffBytes), 0, sniffBytes, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** The first bytes of a stream, and the stream with them in it. */
async function peek(body: AsyncIterable<Uint8Array>) {
  const chunks = body[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  let size = 0;
  while (size < sniffBytes) {
    const next = await chunks.next();
    if (next.done) break;
    first.push(next.value);
    size += next.value.length;
  }
  async function* whole(): AsyncGenerator<Uint8Array, void> {
    yield* first;
    yield* { [Symbol.asyncIterator]: () => chunks };
  }
  return { head: Buffer.concat(first), whole: whole() };
}

/** Opened when the store asks for the first byte. @throws LonghaulError `source_unreadable` naming the file */
export async function* readFileOf(path: string): AsyncGenerator<Uint8Array, void> {
  try {
    yield* createReadStream(path, { highWaterMark: 1 << 20 });
  } catch (cause) {
    if (cause instanceof LonghaulError || cause instanceof RetryableFailure) throw cause;
    throw new LonghaulError('source_unreadable', `${basename(path)} could not be read to its end`, { cause });
  }
}
