import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../context.ts';
import { withSession } from '../session.ts';
import { parseJobId } from '../spec.ts';
import { addCommon, example } from './shared.ts';

export function addCancel(program: Command, context: CommandContext): void {
  addCommon(program.command('cancel <job>'))
    .description('stop a job for good; what it has committed stays readable')
    .addHelpText('after', example('longhaul cancel j01k2m3n4p5q6r7s8t9v0w1x2y3z'))
    .action(async (job: string, options: { data?: string; json?: boolean }) => {
      const jobId = parseJobId(job);
      const cancelled = await withSession(context, options.data, ({ producer }) => producer.cancel(jobId));
      if (options.json === true) await writeJson(context.stdout, cancelled);
      else {
        const text = {
          cancelled: `${jobId} is cancelled`,
          requested: `${jobId}: cancel requested; its worker stops it within seconds`,
          ended: `${jobId} had ended already: ${cancelled.status}`,
        };
        await write(context.stdout, `${text[cancelled.outcome]}\n`);
      }
      context.finish(exitCodes.ok);
    });
}
