import { cachedTokensOf, type Position } from '@longhaul/core/contracts';
import { type CommitPoint, Committer } from './committer.ts';
import { completeJob } from './complete.ts';
import type { JobContext } from './context.ts';
import { ProgressReporter } from './progress.ts';
import { publishState } from './publish.ts';
import { readInput } from './read-input.ts';
import { type Attempt, openAttempt } from './resume.ts';
import { commitStart } from './start.ts';
import type { TaskEnd, TaskRun } from './task.ts';

/**
 * Reads the document and publishes the state at its end: the tasks `ingest`, under a name of its own, and `append`, as the
 * next version of the state that it began from. There is no output but that.
 */
export async function ingest(context: JobContext, run: TaskRun): Promise<TaskEnd> {
  const attempt = await openAttempt(context, null, run.cancel.signal);
  const committer = new Committer(context, attempt.pins, run.recomputed);
  const { cancel } = run;
  try {
    await commitStart(attempt, committer);
    const progress = new ProgressReporter(context, attempt.totalBytes);
    const end = await readDocument(context, attempt, { committer, progress, cancel });
    if (end === 'drained') return { kind: 'drained' };
    if (end === 'cancelled') return await cancel.end();
    const state = await publishState(context, attempt);
    const { input, session } = attempt;
    const cached = cachedTokensOf(attempt);
    const completing = completeJob(context, {
      finishReason: 'read',
      usage: {
        inputTokens: session.position - cached,
        cachedTokens: cached,
        outputTokens: 0,
        inputBytes: input.inputBytes,
      },
      text: null,
      score: null,
      answers: null,
      state,
    });
    const [result] = await Promise.all([completing, progress.finish()]);
    return { kind: 'done', result };
  } finally {
    await committer.close();
    await attempt.input.close();
    attempt.session.close();
  }
}

/** Reads the document to its end and commits the state there; nothing is wanted of the engine but that. */
export async function readDocument(
  context: JobContext,
  attempt: Attempt,
  run: Parameters<typeof readInput>[2],
): ReturnType<typeof readInput> {
  const { input, session } = attempt;
  const point = (position: Partial<Position>): CommitPoint => ({
    position: { ...attempt.position, ...position },
    score: null,
    snapshot: () => session.snapshot(),
  });
  const end = await readInput(context, attempt, run, {
    want: () => ({ kind: 'nothing' }),
    take: () => {},
    point: (chunk) => point(chunk.position),
  });
  if (end !== 'end' || attempt.position.inputTokens !== null) return end;
  const tokenOffset = session.position;
  const { inputBytes: inputByteOffset } = input;
  if (tokenOffset > attempt.position.tokenOffset || context.lease.head.checkpoint === null) {
    await run.committer.flush(point({ tokenOffset, inputByteOffset, textCursor: null, inputTokens: tokenOffset }));
  }
  return end;
}
