import { type Batch, type Batches, type BatchStream, batchObject, createBatches } from '@longhaul/core/batches';
import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../../context.ts';
import { batchTable, batchText } from '../../render/batch.ts';
import { type Session, withSession } from '../../session.ts';
import { tenant } from '../../state-ref.ts';
import { deliver } from '../deliver.ts';
import { addCommon, example, parseNumber } from '../shared.ts';
import { costLimit } from './cost-limit.ts';

interface Options {
  readonly data?: string;
  readonly json?: boolean;
}

const anId = 'batch_01k2m3n4p5q6r7s8t9v0w1x2y3';

export function addBatchLs(batch: Command, context: CommandContext): void {
  addCommon(batch.command('ls'))
    .description('batches, newest first')
    .option('--limit <n>', 'rows of the table', '20')
    .addHelpText('after', example('longhaul batch ls --json'))
    .action(async (options: Options & { limit: string }) => {
      const limit = parseNumber('--limit', options.limit, { least: 1, most: 10_000, whole: true });
      await withSession(context, options.data, async ({ store, home }) => {
        const { batches, more } = await createBatches(store).list(tenant, { limit });
        if (options.json === true) {
          const data = batches.map(({ spec, head }) => batchObject(spec, head));
          return writeJson(context.stdout, { object: 'list', data, has_more: more });
        }
        if (batches.length === 0) return write(context.stderr, `no batches in ${home.storeUrl}\n`);
        await write(context.stdout, batchTable(batches));
        if (more) await write(context.stderr, 'there are more: --limit shows them\n');
      });
      context.finish(exitCodes.ok);
    });
}

/** A command that names a batch, does something with it, and tells how it stands. */
function addOwned<T extends Options>(
  command: Command,
  context: CommandContext,
  work: (batches: Batches, id: string, options: T, session: Session) => Promise<Batch>,
): void {
  addCommon(command).action(async (id: string, options: T) => {
    await withSession(context, options.data, async (session) => {
      const { spec, head } = await work(
        createBatches(session.store, { ring: session.ringBatches }),
        id,
        options,
        session,
      );
      if (options.json === true) await writeJson(context.stdout, batchObject(spec, head));
      else await write(context.stdout, batchText({ spec, head }, context.clock.date()));
    });
    context.finish(exitCodes.ok);
  });
}

export function addBatchShow(batch: Command, context: CommandContext): void {
  const command = batch.command('show <id>').description('how far a batch is, and what is wrong with its lines');
  addOwned(command.addHelpText('after', example(`longhaul batch show ${anId}`)), context, (batches, id) =>
    batches.get(tenant, id),
  );
}

export function addBatchCancel(batch: Command, context: CommandContext): void {
  const command = batch.command('cancel <id>').description('stop a batch for good; what is done is kept');
  addOwned(command.addHelpText('after', example(`longhaul batch cancel ${anId}`)), context, (batches, id) =>
    batches.cancel(tenant, id),
  );
}

export function addBatchPause(batch: Command, context: CommandContext): void {
  const command = batch.command('pause <id>').description('begin no more lines; those in flight go on');
  addOwned(command.addHelpText('after', example(`longhaul batch pause ${anId}`)), context, (batches, id) =>
    batches.pause(tenant, id),
  );
}

interface ResumeOptions extends Options {
  readonly deadline?: string;
  readonly maxCost?: string;
  readonly price?: string;
}

export function addBatchResume(batch: Command, context: CommandContext): void {
  const command = batch
    .command('resume <id>')
    .description('go on with a batch that is paused or expired; no line is run twice')
    .option('--deadline <duration>', 'the time that it has from now on; an expired one needs it')
    .option('--max-cost <dollars>', 'the cost limit from now on; what was spent counts')
    .option('--price <dollars>', 'an hour of one worker (default: LONGHAUL_PRICE_PER_HOUR)');
  const shown = command.addHelpText('after', example(`longhaul batch resume ${anId} --deadline 12h`));
  addOwned<ResumeOptions>(shown, context, (batches, id, options, session) =>
    batches.resume(tenant, id, { completionWindow: options.deadline ?? null, maxCost: costLimit(options, session) }),
  );
}

export function addBatchOutput(batch: Command, context: CommandContext): void {
  addStream(batch, context, 'output', 'the answers of a batch, also while it runs');
}

export function addBatchErrors(batch: Command, context: CommandContext): void {
  addStream(batch, context, 'errors', 'the lines that failed, also while it runs');
}

function addStream(batch: Command, context: CommandContext, stream: BatchStream, description: string): void {
  addCommon(batch.command(`${stream} <id>`))
    .description(`${description}: a line of JSON each`)
    .option('--output <file>', 'write them to a file; - is standard output', '-')
    .addHelpText('after', example(`longhaul batch ${stream} ${anId} --output so-far.jsonl`))
    .action(async (id: string, options: Options & { output: string }) => {
      await withSession(context, options.data, async ({ store }) => {
        await deliver(createBatches(store).read(tenant, id, stream), options.output, context);
      });
      context.finish(exitCodes.ok);
    });
}
