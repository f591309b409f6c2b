import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../context.ts';
import type { Extracted } from '../extract/report.ts';
import { type Session, withSession } from '../session.ts';
import { checkWords } from '../spec.ts';
import { addEstimateOptions, checkDryRun, estimate } from './estimate.ts';
import { followTo } from './follow.ts';
import { addJobOptions } from './job-options.ts';
import { openDocument, openQuestions, withMessages } from './open-input.ts';
import { example } from './shared.ts';
import { addSubmitOptions, documents, modelOf, type SubmitOptions, submitWords } from './submission.ts';

export function addSubmit(program: Command, context: CommandContext): void {
  const command = program
    .command('submit [document...]')
    .description('store a document and what to do with it, and put the job on the queue')
    .usage(`[options] ${documents} | --from STATE | --messages FILE`);
  addEstimateOptions(addSubmitOptions(addJobOptions(command, null)))
    .option('--follow', 'follow the job to its end')
    .option('--dry-run', 'tell what the job would take, as `longhaul estimate` does, and submit nothing')
    .addHelpText(
      'after',
      example(
        "longhaul submit book.txt --prompt 'In short,' --max-new-tokens 64 --follow",
        "longhaul submit paper.pdf --prompt 'In short,' --follow",
        'zcat logs.gz | longhaul submit - --task score --idempotency-key logs-today --json',
        "longhaul submit part-1.txt part-2.txt.gz --separator '\\n' --task score",
        "longhaul submit --from book --prompt 'In short,' --follow",
        'longhaul submit --messages chat.json --max-new-tokens 64 --follow',
      ),
    )
    .action(async (given: string[], options: SubmitOptions) => {
      checkDryRun(options);
      const ending = options.dryRun === true ? estimate : submit;
      context.finish(await ending(given, options, context));
    });
}

/** Submits a job and, where that was asked for, follows it; resolves to the exit code. */
export async function submit(given: readonly string[], typed: SubmitOptions, context: CommandContext): Promise<number> {
  const options = await withMessages(given, typed, context);
  const words = submitWords(given, options, context.signal);
  const extracted: (Extracted & { readonly file: string })[] = [];
  const input = await openDocument(given, options, (file, found) => void extracted.push({ file, ...found }), context);
  const questions = options.questions === undefined ? null : await openQuestions(options.questions, context);
  return withSession(context, options.data, async (session) => {
    // A state is looked up for words that are right.
    const named = { jobId: words.jobId ?? 'not-named-yet', createdAt: context.clock.date() };
    checkWords({ ...words, ...named, model: options.model ?? 'not-known-yet' }, input.kind !== 'none');
    const model = options.model ?? (await modelOf(words.request, words.tenant, session));
    const submitted = await session.producer.submit({ ...words, model, document: input, questions });
    const { jobId, outcome, queue, queueError } = submitted;
    if (options.json === true)
      await writeJson(context.stdout, { kind: 'submitted', ...submitted, ...(extracted.length > 0 && { extracted }) });
    else await write(options.quiet === true ? context.stderr : context.stdout, `${jobId}\n`);
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
