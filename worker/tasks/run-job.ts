import { ask } from './ask.ts';
import { AttemptMeter } from './attempt-meter.ts';
import { CancelWatch } from './cancellation.ts';
import type { JobContext } from './context.ts';
import { generate } from './generate.ts';
import { ingest } from './ingest.ts';
import { score } from './score.ts';
import type { TaskEnd, TaskRun } from './task.ts';

/** One attempt at one job, from its head to its end or to a drain. */
export async function runJob(parts: Omit<JobContext, 'meter'>): Promise<TaskEnd> {
  const meter = new AttemptMeter(parts.spec, parts.lease, parts.clock);
  const context: JobContext = { ...parts, meter };
  const recomputed = await lostTokens(context);
  const cancel = new CancelWatch(context);
  try {
    const run: TaskRun = { cancel, recomputed };
    const end = await perform(context, run);
    if (end.kind === 'done') meter.done(end.result);
    return end;
  } catch (error) {
    // A cancel or the deadline cuts short what waits for the document, by an error.
    if (!cancel.requested || context.lost.aborted) throw error;
    return await cancel.end();
  } finally {
    cancel.close();
    meter.close();
  }
}

async function perform(context: JobContext, run: TaskRun): Promise<TaskEnd> {
  const { task } = context.spec;
  switch (task.kind) {
    case 'generate':
      return await generate(context, task, run);
    case 'score':
      return await score(context, task, run);
    case 'ask':
      return await ask(context, task, run);
    case 'ingest':
    case 'append':
      return await ingest(context, run);
  }
}

/** Tokens that the last owner had fed, by its own posts, beyond what it committed: they are run again now. */
async function lostTokens({ live, lease, spec, log }: JobContext): Promise<number> {
  if (live === null) return 0;
  try {
    const last = await live.readProgress(spec.jobId);
    if (last === null || last.epoch >= lease.epoch) return 0;
    return Math.max(0, last.tokens - lease.head.position.tokenOffset);
  } catch (error) {
    log('warn', 'the last progress could not be read', { job: spec.jobId, reason: String(error) });
    return 0;
  }
}
