import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../context.ts';
import { jobTable, jobText } from '../render/job.ts';
import { withSession } from '../session.ts';
import { parseJobId } from '../spec.ts';
import { writeJobs } from './job-list.ts';
import { addCommon, example, parseNumber } from './shared.ts';

export function addStatus(program: Command, context: CommandContext): void {
  addCommon(program.command('status [job]'))
    .description('how far a job is; without a job, a table of the newest ones')
    .option('--limit <n>', 'rows of the table', '20')
    .addHelpText('after', example('longhaul status', 'longhaul status j01k2m3n4p5q6r7s8t9v0w1x2y3z --json'))
    .action(async (job: string | undefined, options: { data?: string; json?: boolean; limit: string }) => {
      const jobId = job === undefined ? null : parseJobId(job);
      const limit = parseNumber('--limit', options.limit, { least: 1, most: 10_000, whole: true });
      await withSession(context, options.data, async ({ producer, home }) => {
        if (jobId !== null) {
          const view = await producer.status(jobId);
          context.finish(exitCodes.ok);
          return options.json === true ? writeJson(context.stdout, view) : write(context.stdout, jobText(view));
        }
        const list = await producer.list({ limit });
        await writeJobs(context, list, options.json === true, jobTable, `no jobs in ${home.storeUrl}`);
      });
    });
}
