import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { jobOptions, jobOptionText, LonghaulError, parseJobOptions, RetryableFailure } from '@longhaul/core/contracts';
import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../context.ts';
import { parseDuration } from '../duration.ts';
import type { Submission } from '../producer.ts';
import { showUpload } from '../render/upload-bar.ts';
import { type Session, withSession } from '../session.ts';
import { inlineSource, parseSubmitInput } from '../source.ts';
import { parseJobId, parsePriority } from '../spec.ts';
import { followTo } from './follow.ts';
import { addCommon, example, parseNumber } from './shared.ts';

interface SubmitOptions extends Readonly<Record<string, unknown>> {
  readonly text?: string;
  readonly model?: string;
  readonly priority: string;
  readonly jobId?: string;
  readonly idempotencyKey?: string;
  readonly queueWait: string;
  readonly expiresIn?: string;
  readonly follow?: boolean;
  readonly data?: string;
  readonly json?: boolean;
}

export function addSubmit(program: Command, context: CommandContext): void {
  const command = program
    .command('submit [document]')
    .description('store a document and a question about it, and put the job on the queue')
    .usage('[options] FILE | - | s3://BUCKET/KEY | https://… | file:///PATH | --text TEXT')
    .option('--text <text>', 'the document itself, in place of FILE');
  for (const option of jobOptions) {
    const text = jobOptionText(option);
    if (option.kind === 'list')
      command.option(option.flags, text, (value: string, list: string[] = []) => [...list, value]);
    else command.option(option.flags, text);
  }
  addCommon(command)
    .option('--model <name>', 'served model (default: the one of `longhaul up`, else tiny-english)')
    .option('--priority <n>', '0 to 1000; higher runs earlier', '0')
    .option('--job-id <id>', 'name the job yourself')
    .option('--idempotency-key <key>', 'the same key always means the same job')
    .option('--expires-in <duration>', 'end the job as expired where it takes longer: 90m, 2h, 3d')
    .option('--queue-wait <seconds>', 'go on trying for this long where Redis is away', '10')
    .option('--follow', 'follow the job to its end')
    .addHelpText(
      'after',
      example(
        "longhaul submit book.txt --prompt 'In short,' --max-new-tokens 64 --follow",
        'zcat logs.gz | longhaul submit - --task score --idempotency-key logs-today --json',
      ),
    )
    .action(async (document: string | undefined, options: SubmitOptions) => {
      context.finish(await submit(document, options, context));
    });
}

async function submit(document: string | undefined, options: SubmitOptions, context: CommandContext): Promise<number> {
  if ((document === undefined) === (options.text === undefined)) {
    throw new LonghaulError(
      'invalid_argument',
      'give one document: FILE, -, s3://…, https://…, file:///…, or --text TEXT',
    );
  }
  // All words are checked before anything is opened or sent.
  const words = {
    request: parseJobOptions(options),
    priority: parsePriority(options.priority),
    jobId: options.jobId === undefined ? null : parseJobId(options.jobId),
    idempotencyKey: options.idempotencyKey ?? null,
    expiresInMs: options.expiresIn === undefined ? null : parseDuration('--expires-in', options.expiresIn),
    enqueueMs: 1000 * parseNumber('--queue-wait', options.queueWait, { least: 0, most: 86_400, whole: false }),
    tenant: 'default',
    signal: context.signal,
  };
  const input = await openDocument(document, options.text, context);
  return withSession(context, options.data, async (session) => {
    const model = options.model ?? session.home.defaultModel;
    const submitted = await session.producer.submit({ ...words, model, document: input });
    const { jobId, outcome, queue, queueError } = submitted;
    if (options.json === true) await writeJson(context.stdout, { kind: 'submitted', ...submitted });
    else await write(context.stdout, `${jobId}\n`);
    if (outcome === 'existing' && options.json !== true)
      await write(context.stderr, `${jobId} was there already, with the document of its first submit\n`);
    await warnOfModel(model, session, context, options);
    if (queue === 'unreachable') await tellUnreachable(jobId, queueError, context, options);
    if (options.follow === true) return followTo(session.producer, jobId, context, options.json === true);
    return queue === 'unreachable' ? exitCodes.queueUnreachable : exitCodes.ok;
  });
}

async function tellUnreachable(jobId: string, reason: string | null, context: CommandContext, options: SubmitOptions) {
  if (options.json === true) return;
  const again =
    options.idempotencyKey === undefined && options.jobId === undefined
      ? ''
      : ', and the same submit again tells it too';
  await write(
    context.stderr,
    `longhaul: queue_unavailable: ${reason}\n` +
      `${jobId} is stored and loses nothing: it starts when the queue is back (a controller, or \`longhaul up\`, tells it)${again}\n`,
  );
}

async function warnOfModel(model: string, { home, config }: Session, context: CommandContext, options: SubmitOptions) {
  if (options.json === true || config.redisUrl !== null || home.model === null || home.model === model) return;
  await write(
    context.stderr,
    `the running \`longhaul up\` serves ${home.model}: nothing there takes a job for ${model}\n`,
  );
}

async function openDocument(
  document: string | undefined,
  text: string | undefined,
  context: CommandContext,
): Promise<Submission['document']> {
  if (text !== undefined) return { kind: 'source', source: inlineSource(text) };
  const input = parseSubmitInput(document ?? '');
  switch (input.kind) {
    case 'in-place':
      return { kind: 'source', source: input.source };
    case 'stdin':
      if (context.stdin.isTTY === true)
        await write(context.stderr, 'reading the document from the terminal; end with Ctrl-D\n');
      return { kind: 'upload', body: showUpload(context.stdin, null, context) };
    case 'file': {
      const path = resolve(context.cwd, input.path);
      const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
        if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR')
          throw new LonghaulError('source_not_found', `no file ${path}`);
        throw new LonghaulError('source_unreadable', `${path} cannot be read`, { cause });
      });
      if (found.isDirectory()) throw new LonghaulError('source_unreadable', `${path} is a directory, not a document`);
      const size = found.isFile() ? found.size : null;
      return { kind: 'upload', body: showUpload(readFileOf(path), size, context) };
    }
  }
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
