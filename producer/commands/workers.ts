import { LonghaulError } from '@longhaul/core/contracts';
import type { Command } from 'commander';
import { type CommandContext, write, writeJson } from '../context.ts';
import { workerTable } from '../render/workers.ts';
import { withSession } from '../session.ts';
import { addCommon, example } from './shared.ts';

export function addWorkers(program: Command, context: CommandContext): void {
  addCommon(program.command('workers'))
    .description('the workers that live: their model, engine, slots, and jobs in hand')
    .addHelpText('after', example('longhaul workers', 'longhaul workers --json'))
    .action(async (options: { data?: string; json?: boolean }) => {
      await withSession(context, options.data, async ({ fleet }) => {
        if (fleet === null) {
          throw new LonghaulError(
            'queue_unavailable',
            'no Redis is known here: start `longhaul up`, or set LONGHAUL_REDIS_URL',
          );
        }
        const workers = await fleet().workers();
        if (options.json === true) return await writeJson(context.stdout, { kind: 'workers', workers });
        await write(
          context.stdout,
          workers.length === 0 ? 'no worker lives\n' : workerTable(workers, context.clock.date()),
        );
      });
    });
}
