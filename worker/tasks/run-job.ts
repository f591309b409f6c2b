import type { JobResult } from '@longhaul/core/contracts';
import { attribute, inSpan, spanName } from '@longhaul/core/telemetry';
import type { JobContext } from './context.ts';
import { generate } from './generate.ts';
import { score } from './score.ts';

/** How an attempt ended, where no error ended it. */
export type TaskEnd =
  | { readonly kind: 'done'; readonly result: JobResult }
  | { readonly kind: 'cancelled'; readonly result: JobResult }
  /** Committed and to be handed back. */
  | { readonly kind: 'drained' };

/** One attempt at one job, from its head to its end or to a drain. */
export async function runJob(context: JobContext): Promise<TaskEnd> {
  const { lease, spec, worker } = context;
  const attributes = {
    [attribute.jobId]: spec.jobId,
    [attribute.task]: spec.task.kind,
    [attribute.model]: spec.model,
    [attribute.worker]: worker,
    [attribute.epoch]: lease.epoch,
    [attribute.tokenOffset]: lease.head.position.tokenOffset,
  };
  return inSpan(spanName.job, attributes, async (span) => {
    const recomputed = await lostTokens(context);
    const { task } = spec;
    const end =
      task.kind === 'generate' ? await generate(context, task, recomputed) : await score(context, task, recomputed);
    span.setAttribute(attribute.outcome, end.kind);
    return end;
  });
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
