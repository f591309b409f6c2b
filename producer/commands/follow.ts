import { LonghaulError } from '@longhaul/core/contracts';
import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../context.ts';
import type { Producer } from '../producer.ts';
import { FollowDisplay } from '../render/follow-display.ts';
import { withSession } from '../session.ts';
import { parseJobId } from '../spec.ts';
import { addCommon, example, parseNumber } from './shared.ts';

export function addFollow(program: Command, context: CommandContext): void {
  addCommon(program.command('follow <job>'))
    .description('show the output of a job as it comes, from its start to its result')
    .option('--after <n>', 'leave out the first n output records', '0')
    .option('--committed', 'only what is committed: later, and never taken back')
    .addHelpText('after', example('longhaul follow j01k2m3n4p5q6r7s8t9v0w1x2y3z --json'))
    .action(async (job: string, options: { data?: string; json?: boolean; after: string; committed?: boolean }) => {
      const jobId = parseJobId(job);
      const after = parseNumber('--after', options.after, { least: 0, most: Number.MAX_SAFE_INTEGER, whole: true });
      const code = await withSession(context, options.data, ({ producer }) =>
        followTo(producer, jobId, context, options.json === true, { after, committedOnly: options.committed === true }),
      );
      context.finish(code);
    });
}

/** Follows a job to its end; the exit code says how it ended. Ctrl-C leaves the job running. */
export async function followTo(
  producer: Producer,
  jobId: string,
  context: CommandContext,
  json: boolean,
  { after, committedOnly } = { after: 0, committedOnly: false },
): Promise<number> {
  const display = new FollowDisplay(context, json, after);
  try {
    for await (const event of producer.follow(jobId, { after, committedOnly, signal: context.signal })) {
      await display.show(event);
      if (event.kind !== 'result') continue;
      return event.result.status === 'succeeded' ? exitCodes.ok : exitCodes.failed;
    }
    throw new LonghaulError('internal', `following ${jobId} ended without a result`);
  } catch (error) {
    if (!context.signal.aborted) throw error;
    display.close();
    if (json) await writeJson(context.stdout, { kind: 'interrupted', jobId });
    else await write(context.stderr, `\n${jobId} goes on; \`longhaul follow ${jobId}\` comes back to it\n`);
    return exitCodes.interrupted;
  } finally {
    display.close();
  }
}
