import {
  cachedTokensOf,
  type JobResult,
  type ScoreTask,
  type ScoreTotals,
  type StatePoint,
} from '@longhaul/core/contracts';
import type { Session } from '@longhaul/native';
import { type CommitPoint, Committer } from './committer.ts';
import { completeJob } from './complete.ts';
import type { JobContext } from './context.ts';
import type { InputChunk } from './input.ts';
import { ProgressReporter } from './progress.ts';
import { publishState } from './publish.ts';
import { type ChunkTask, readInput } from './read-input.ts';
import { type Attempt, openAttempt } from './resume.ts';
import { ScoreLines } from './score-lines.ts';
import { commitStart } from './start.ts';
import type { TaskEnd, TaskRun } from './task.ts';

/** Reads the document and writes the log-probability of each of its tokens but the first, summed per line. */
export async function score(context: JobContext, task: ScoreTask, run: TaskRun): Promise<TaskEnd> {
  const attempt = await openAttempt(context, null, run.cancel.signal);
  const committer = new Committer(context, attempt.pins, run.recomputed);
  const { cancel } = run;
  try {
    await commitStart(attempt, committer);
    const progress = new ProgressReporter(context, attempt.totalBytes);
    const lineTokens =
      task.detail === 'segment' ? task.segmentTokens : Math.min(task.segmentTokens, attempt.pins.chunkTokens);
    const { score: resume } = context.lease.head;
    const lines = new ScoreLines({
      lineTokens,
      task,
      tokenizer: context.tokenizer,
      resume,
      position: attempt.position,
    });
    const chunks: ChunkTask = {
      want: (chunk) => lines.want(chunk),
      take: (chunk, result) => {
        if (result.kind !== 'logprobs')
          throw new TypeError(`the engine answered ${result.kind}, logprobs were asked for`);
        committer.add(lines.take(chunk, result.logprobs, result.top));
      },
      point: (chunk) => pointOf(attempt.session, lines, chunk.position),
    };
    const end = await readInput(context, attempt, { committer, progress, cancel }, chunks);
    if (end === 'drained') return { kind: 'drained' };
    if (end === 'cancelled') return await cancel.end();

    const rest = lines.finish();
    const tokenOffset = attempt.session.position;
    const { inputBytes } = attempt.input;
    if (attempt.position.inputTokens === null || rest.length > 0) {
      committer.add(rest);
      const position = { tokenOffset, inputByteOffset: inputBytes, textCursor: null, inputTokens: tokenOffset };
      await committer.flush(pointOf(attempt.session, lines, position));
    }
    const state = await publishState(context, attempt);
    const [result] = await Promise.all([complete(context, attempt, lines.totals, state), progress.finish()]);
    return { kind: 'done', result };
  } finally {
    await committer.close();
    await attempt.input.close();
    attempt.session.close();
  }
}

function complete(
  context: JobContext,
  attempt: Attempt,
  totals: ScoreTotals,
  state: StatePoint | null,
): Promise<JobResult> {
  const { input, session } = attempt;
  const cached = cachedTokensOf(attempt);
  const { inputBytes } = input;
  return completeJob(context, {
    finishReason: 'read',
    usage: { inputTokens: session.position - cached, cachedTokens: cached, outputTokens: 0, inputBytes },
    text: null,
    score: {
      tokens: totals.tokens,
      nats: totals.nats,
      bitsPerByte: inputBytes === 0 ? 0 : totals.nats / Math.LN2 / inputBytes,
      perplexity: totals.tokens === 0 ? 1 : Math.exp(totals.nats / totals.tokens),
    },
    answers: null,
    state,
  });
}

function pointOf(session: Session, lines: ScoreLines, position: InputChunk['position']): CommitPoint {
  return {
    position: { ...position, outputCount: lines.written, nextToken: null },
    score: lines.totals,
    snapshot: () => session.snapshot(),
  };
}
