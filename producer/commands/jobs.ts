import { LonghaulError } from '@longhaul/core/contracts';
import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import type { JobFilter } from '../producer.ts';
import { jobReasonTable } from '../render/job.ts';
import { withSession } from '../session.ts';
import { writeJobs } from './job-list.ts';
import { addCommon, example, parseNumber } from './shared.ts';

const filters: readonly JobFilter[] = ['open', 'quarantined', 'all'];

export function addJobs(program: Command, context: CommandContext): void {
  addCommon(program.command('jobs [which]'))
    .description('jobs that have not ended (open), that wait to be redriven (quarantined), or all of them')
    .option('--limit <n>', 'rows of the table', '100')
    .addHelpText('after', example('longhaul jobs quarantined', 'longhaul jobs all --limit 1000 --json'))
    .action(async (which: string | undefined, options: { data?: string; json?: boolean; limit: string }) => {
      const filter = parseFilter(which ?? 'open');
      const limit = parseNumber('--limit', options.limit, { least: 1, most: 100_000, whole: true });
      await withSession(context, options.data, async ({ producer, home }) => {
        const list = await producer.jobs(filter, { limit });
        const none = `no ${filter === 'all' ? '' : `${filter} `}jobs in ${home.storeUrl}`;
        await writeJobs(context, list, options.json === true, jobReasonTable, none);
      });
    });
}

function parseFilter(text: string): JobFilter {
  const found = filters.find((filter) => filter === text);
  if (found !== undefined) return found;
  throw new LonghaulError('invalid_argument', `jobs takes ${filters.join(', ')}; found ${JSON.stringify(text)}`);
}
