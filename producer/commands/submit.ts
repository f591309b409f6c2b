import { type JobRequest, LonghaulError, parseJobOptions } from '@longhaul/core/contracts';
import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../context.ts';
import { parseDuration } from '../duration.ts';
import { type Session, withSession } from '../session.ts';
import { checkWords, parseJobId, parsePriority } from '../spec.ts';
import { followTo } from './follow.ts';
import { addJobOptions } from './job-options.ts';
import { openDocument, openQuestions } from './open-input.ts';
import { addCommon, example, parseNumber } from './shared.ts';

export interface SubmitOptions extends Readonly<Record<string, unknown>> {
  readonly text?: string;
  readonly model?: string;
  readonly priority: string;
  readonly jobId?: string;
  readonly idempotencyKey?: string;
  readonly queueWait: string;
  readonly expiresIn?: string;
  readonly from?: string;
  readonly questions?: string;
  readonly follow?: boolean;
  /** Standard output is the answer's alone. */
  readonly quiet?: boolean;
  readonly data?: string;
  readonly json?: boolean;
}

export const documents = 'FILE | - | s3://BUCKET/KEY | https://… | file:///PATH | --text TEXT';

/** What every command takes that puts a job on the queue. */
export function addSubmitOptions(command: Command): Command {
  return addCommon(command)
    .option('--text <text>', 'the document itself, in place of FILE')
    .option('--model <name>', 'served model (default: that of the state, or of `longhaul up`, else tiny-english)')
    .option('--priority <n>', '0 to 1000; higher runs earlier', '0')
    .option('--job-id <id>', 'name the job yourself')
    .option('--idempotency-key <key>', 'the same key always means the same job')
    .option('--expires-in <duration>', 'end the job as expired where it takes longer: 90m, 2h, 3d')
    .option('--queue-wait <seconds>', 'go on trying for this long where Redis is away', '10');
}

export function addSubmit(program: Command, context: CommandContext): void {
  const command = program
    .command('submit [document]')
    .description('store a document and what to do with it, and put the job on the queue')
    .usage(`[options] ${documents} | --from STATE`);
  addSubmitOptions(addJobOptions(command, null))
    .option('--follow', 'follow the job to its end')
    .addHelpText(
      'after',
      example(
        "longhaul submit book.txt --prompt 'In short,' --max-new-tokens 64 --follow",
        'zcat logs.gz | longhaul submit - --task score --idempotency-key logs-today --json',
        "longhaul submit --from book --prompt 'In short,' --follow",
      ),
    )
    .action(async (document: string | undefined, options: SubmitOptions) => {
      context.finish(await submit(document, options, context));
    });
}

/** Submits a job and, where that was asked for, follows it; resolves to the exit code. */
export async function submit(
  document: string | undefined,
  options: SubmitOptions,
  context: CommandContext,
): Promise<number> {
  const given = [document, options.text].filter((one) => one !== undefined).length;
  if (given > 1 || (given === 0 && options.from === undefined)) {
    throw new LonghaulError(
      'invalid_argument',
      'give one document: FILE, -, s3://…, https://…, file:///…, or --text TEXT',
    );
  }
  if (document === '-' && options.questions === '-') {
    throw new LonghaulError('invalid_argument', 'standard input is the document or the questions, not both');
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
  const questions = options.questions === undefined ? null : await openQuestions(options.questions, context);
  return withSession(context, options.data, async (session) => {
    // A state is looked up for words that are right.
    const named = { jobId: words.jobId ?? 'not-named-yet', createdAt: context.clock.date() };
    checkWords({ ...words, ...named, model: options.model ?? 'not-known-yet' }, input.kind !== 'none');
    const model = options.model ?? (await modelOf(words.request, words.tenant, session));
    const submitted = await session.producer.submit({ ...words, model, document: input, questions });
    const { jobId, outcome, queue, queueError } = submitted;
    if (options.json === true) await writeJson(context.stdout, { kind: 'submitted', ...submitted });
    else await write(options.quiet === true ? context.stderr : context.stdout, `${jobId}\n`);
    if (outcome === 'existing' && options.json !== true)
      await write(context.stderr, `${jobId} was there already, with the document of its first submit\n`);
    await warnOfModel(model, session, context, options);
    if (queue === 'unreachable') await tellUnreachable(jobId, queueError, context, options);
    if (options.follow === true) return followTo(session.producer, jobId, context, options.json === true);
    return queue === 'unreachable' ? exitCodes.queueUnreachable : exitCodes.ok;
  });
}

/** A state goes on with the model that made it. @throws LonghaulError `state_not_found` */
async function modelOf({ from }: JobRequest, tenant: string, { states, home }: Session): Promise<string> {
  return from === null ? home.defaultModel : (await states.resolve(tenant, from)).model;
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
