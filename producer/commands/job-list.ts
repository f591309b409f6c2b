import { type CommandContext, exitCodes, write, writeJson } from '../context.ts';
import type { JobList } from '../producer.ts';
import type { JobView } from '../view.ts';

/** Shows a list of jobs, and behind it by name the jobs that cannot be read, which make the command fail. */
export async function writeJobs(
  context: CommandContext,
  { jobs, unreadable }: JobList,
  json: boolean,
  render: (jobs: readonly JobView[]) => string,
  none: string,
): Promise<void> {
  context.finish(unreadable.length === 0 ? exitCodes.ok : exitCodes.failed);
  if (json) return await writeJson(context.stdout, { jobs, unreadable });
  if (jobs.length > 0) await write(context.stdout, render(jobs));
  else if (unreadable.length === 0) await write(context.stderr, `${none}\n`);
  for (const { jobId, code, message } of unreadable) {
    await write(context.stderr, `${jobId} cannot be read: ${code}: ${message}\n`);
  }
}
