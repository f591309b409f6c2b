import { basename } from 'node:path';
import { type Batch, BatchOrder, batchHasEnded, batchObject, createBatches, parseWindow } from '@longhaul/core/batches';
import { LonghaulError } from '@longhaul/core/contracts';
import { createFiles } from '@longhaul/core/files';
import type { Command } from 'commander';
import { followBatch } from '../batch/follow-batch.ts';
import { checkBatch } from '../batch/input.ts';
import { putBatchInput } from '../batch/put-input.ts';
import { type CommandContext, exitCodes, write, writeJson } from '../context.ts';
import { BatchProgress } from '../render/batch-progress.ts';
import { count } from '../render/format.ts';
import { type Session, withSession } from '../session.ts';
import { parsePriority } from '../spec.ts';
import { tenant } from '../state-ref.ts';
import { costLimit } from './batch/cost-limit.ts';
import {
  addBatchCancel,
  addBatchErrors,
  addBatchLs,
  addBatchOutput,
  addBatchPause,
  addBatchResume,
  addBatchShow,
} from './batch/owned.ts';
import { addWebhookSecret } from './batch/webhook-secret.ts';
import { deliver } from './deliver.ts';
import { openLines } from './open-input.ts';
import { addCommon, example } from './shared.ts';

interface BatchOptions {
  readonly output?: string;
  readonly follow?: boolean;
  readonly order: string;
  readonly deadline: string;
  readonly maxCost?: string;
  readonly price?: string;
  readonly models?: string;
  readonly priority: string;
  readonly idempotencyKey?: string;
  readonly dryRun?: boolean;
  readonly webhook?: string;
  readonly data?: string;
  readonly json?: boolean;
}

export function addBatch(program: Command, context: CommandContext): void {
  const batch = addCommon(program.command('batch [file]'))
    .description('run a file of requests, a line each, as the OpenAI Batch API has them')
    .usage('[options] FILE.jsonl | -\n       longhaul batch ls | show | pause | resume | cancel | output | errors …')
    .option('--output <file>', 'follow the batch, and write its output there; - is standard output')
    .option('--follow', 'follow the batch to its end')
    .option('--order <order>', 'lines of the output as in the input, or as they end: input, completion', 'input')
    .option('--deadline <duration>', 'what is not done by then is not begun: 90m, 24h, 7d', '24h')
    .option('--max-cost <dollars>', 'pause when the work has cost as much; needs a price')
    .option(
      '--price <dollars>',
      'an hour of one worker, LOW or LOW-HIGH (default: LONGHAUL_PRICE_PER_HOUR); the high end counts',
    )
    .option('--models <names>', 'models that lines may ask for, separated by commas (default: that of `longhaul up`)')
    .option('--priority <n>', '0 to 1000; higher runs earlier', '0')
    .option('--idempotency-key <key>', 'the same key always means the same batch')
    .option('--webhook <url>', 'an https address that is told of the end, signed: see `longhaul batch webhook-secret`')
    .option('--dry-run', 'check every line, and submit nothing')
    .addHelpText(
      'after',
      example(
        'longhaul batch questions.jsonl --output answers.jsonl',
        'longhaul batch questions.jsonl --deadline 7d --max-cost 20 --price 2.5 --json',
        'longhaul batch output batch_01k2m3n4p5q6r7s8t9v0w1x2y3 > so-far.jsonl',
      ),
    )
    .action(async (file: string | undefined, options: BatchOptions) => {
      context.finish(await submitBatch(file, options, context));
    });
  for (const add of [
    addBatchLs,
    addBatchShow,
    addBatchPause,
    addBatchResume,
    addBatchCancel,
    addBatchOutput,
    addBatchErrors,
    addWebhookSecret,
  ]) {
    add(batch, context);
  }
}

async function submitBatch(file: string | undefined, options: BatchOptions, context: CommandContext): Promise<number> {
  if (file === undefined) throw new LonghaulError('invalid_argument', 'give a file of lines, or - for standard input');
  const words = {
    order: parseOrder(options.order),
    priority: parsePriority(options.priority),
    completionWindow: options.deadline,
  };
  parseWindow('--deadline', options.deadline);
  const json = options.json === true;
  const body = await openLines(file, context);
  if (options.dryRun === true) return await dryRun(body, options, context);
  return await withSession(context, options.data, async (session) => {
    const { store } = session;
    const maxCost = costLimit(options, session);
    const batches = createBatches(store, { ring: session.ringBatches });
    const key = options.idempotencyKey ?? null;
    const filename = file === '-' ? 'standard-input.jsonl' : basename(file);
    const input = await putBatchInput(createFiles(store), { tenant, filename, body, signal: context.signal }, key);
    const request = {
      tenant,
      inputFileId: input.id,
      endpoint: null,
      models: modelsOf(options, session),
      metadata: null,
    };
    const batch = await batches.create({
      ...request,
      ...words,
      maxCost,
      idempotencyKey: key,
      webhook: options.webhook ?? null,
    });
    if (json) await writeJson(context.stdout, batchObject(batch.spec, batch.head));
    else await write(options.output === '-' ? context.stderr : context.stdout, `${batch.spec.id}\n`);
    if (options.follow !== true && options.output === undefined) return exitCodes.ok;
    const ended = await follow(session, batch.spec.id, json, context);
    if (ended === null) return exitCodes.interrupted;
    if (options.output !== undefined) {
      await deliver(createBatches(store).read(tenant, batch.spec.id, 'output'), options.output, context);
    }
    return ended.head.status === 'completed' && (ended.head.ended?.failed ?? 0) === 0 ? exitCodes.ok : exitCodes.failed;
  });
}

/** Null where the reader left: the batch goes on. */
async function follow(session: Session, id: string, json: boolean, context: CommandContext): Promise<Batch | null> {
  const progress = new BatchProgress(context);
  const { clock, signal } = context;
  let last: Batch | null = null;
  try {
    for await (const batch of followBatch(createBatches(session.store), tenant, id, { clock, signal })) {
      last = batch;
      if (json) await writeJson(context.stdout, batchObject(batch.spec, batch.head));
      else await progress.show(batch);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    progress.close();
    if (!json) await write(context.stderr, `\n${id} goes on; \`longhaul batch show ${id}\` tells how far it is\n`);
    return null;
  } finally {
    progress.close();
  }
  if (last === null || !batchHasEnded(last.head.status))
    throw new LonghaulError('internal', `following ${id} ended early`);
  if (!json) await tellEnd(last, context);
  return last;
}

async function tellEnd({ spec, head }: Batch, { stderr }: CommandContext): Promise<void> {
  const { total, completed, failed } = batchObject(spec, head).request_counts;
  await write(stderr, `${count(completed)} of ${count(total)} lines done, ${count(failed)} failed\n`);
  for (const { line, message } of head.lineErrors.slice(0, 10)) {
    await write(stderr, `${line === null ? '' : `line ${line}: `}${message}\n`);
  }
  const more = head.lineErrorCount - Math.min(10, head.lineErrors.length);
  if (more > 0) await write(stderr, `and ${count(more)} more: \`longhaul batch show ${spec.id}\`\n`);
  if (failed > 0) await write(stderr, `\`longhaul batch errors ${spec.id}\` tells why\n`);
}

async function dryRun(
  body: AsyncIterable<Uint8Array>,
  options: BatchOptions,
  context: CommandContext,
): Promise<number> {
  const models = options.models === undefined ? null : options.models.split(',');
  const { total, errors, errorCount } = await checkBatch(body, { tenant, models, signal: context.signal });
  if (options.json === true)
    await writeJson(context.stdout, { kind: 'checked', lines: total, line_errors: errorCount, errors });
  else {
    for (const { line, message } of errors)
      await write(context.stderr, `${line === null ? '' : `line ${line}: `}${message}\n`);
    const more = errorCount - errors.length;
    if (more > 0) await write(context.stderr, `and ${count(more)} more\n`);
    await write(
      context.stdout,
      `${count(total)} lines, ${errorCount === 0 ? 'all well' : `${count(errorCount)} complaints`}; nothing was submitted\n`,
    );
  }
  return errorCount === 0 ? exitCodes.ok : exitCodes.failed;
}

function parseOrder(text: string): BatchOrder {
  const order = BatchOrder.safeParse(text);
  if (order.success) return order.data;
  throw new LonghaulError('invalid_argument', `--order takes input or completion; found ${JSON.stringify(text)}`);
}

/** Null: any model, where nothing says which ones are served. */
function modelsOf(options: BatchOptions, { home, config }: Session): string[] | null {
  if (options.models !== undefined) return options.models.split(',').filter((name) => name !== '');
  return config.redisUrl === null && home.model !== null ? [home.model] : null;
}
