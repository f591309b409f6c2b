import { describeError, LonghaulError } from '@longhaul/core/contracts';
import type { WorkerSign } from '@longhaul/core/fleet';
import type { ObjectStore } from '@longhaul/core/ledger';
import { readScalingRecord, workerNameOf } from '@longhaul/core/scaling';
import type { Command } from 'commander';
import { type CommandContext, write, writeJson } from '../context.ts';
import { type ComingWorker, workerTable } from '../render/workers.ts';
import { withSession } from '../session.ts';
import { addCommon, example } from './shared.ts';

export function addWorkers(program: Command, context: CommandContext): void {
  addCommon(program.command('workers'))
    .description(
      'the workers that live: their model, engine, slots, and jobs in hand; and those that a controller started and that are to come',
    )
    .addHelpText('after', example('longhaul workers', 'longhaul workers --json'))
    .action(async (options: { data?: string; json?: boolean }) => {
      await withSession(context, options.data, async ({ fleet, store }) => {
        if (fleet === null) {
          throw new LonghaulError(
            'queue_unavailable',
            'no Redis is known here: start `longhaul up`, or set LONGHAUL_REDIS_URL',
          );
        }
        const workers = await fleet().workers();
        const coming = await comingWorkers(store, workers, context);
        if (options.json === true) return await writeJson(context.stdout, { kind: 'workers', workers, coming });
        const none = workers.length === 0 && coming.length === 0;
        await write(context.stdout, none ? 'no worker lives\n' : workerTable(workers, coming, context.clock.date()));
      });
    });
}

/** The store may be away while the workers are not: then they are shown alone. */
async function comingWorkers(
  store: ObjectStore,
  workers: readonly WorkerSign[],
  context: CommandContext,
): Promise<ComingWorker[]> {
  const heard = new Set(workers.map(({ name }) => name));
  try {
    const { record } = await readScalingRecord({ store, clock: () => context.clock.date() });
    return Object.entries(record.workers).flatMap(([id, { model, market, state, startedAt, why }]) => {
      const name = workerNameOf(id);
      if (heard.has(name)) return [];
      const since = new Date(startedAt).toISOString();
      return [{ name, model, market, placed: state === 'running', startedAt: since, why }];
    });
  } catch (error) {
    await write(context.stderr, `longhaul: workers that are to come are not known: ${describeError(error)}\n`);
    return [];
  }
}
