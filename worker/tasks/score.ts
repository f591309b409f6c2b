import type {
  JobResult,
  Position,
  ScoreRecord,
  ScoreTask,
  ScoreTotals,
  StatePoint,
  TopLogprobs as TopRecord,
} from '@longhaul/core/contracts';
import type { Session, TopLogprobs } from '@longhaul/native';
import { type CommitPoint, Committer } from './committer.ts';
import type { JobContext } from './context.ts';
import type { InputChunk } from './input.ts';
import { ProgressReporter } from './progress.ts';
import { publishState } from './publish.ts';
import { type ChunkTask, readInput } from './read-input.ts';
import { type Attempt, openAttempt } from './resume.ts';
import { cachedTokens, commitStart } from './start.ts';
import type { TaskEnd, TaskRun } from './task.ts';
import { topOf } from './top-of.ts';

/** Reads the document and writes the log-probability of each of its tokens but the first, summed per line. */
export async function score(context: JobContext, task: ScoreTask, run: TaskRun): Promise<TaskEnd> {
  const attempt = await openAttempt(context, null, run.cancel.signal);
  const committer = new Committer(context, attempt.pins, run.recomputed);
  const { cancel } = run;
  try {
    await commitStart(attempt, committer);
    const progress = new ProgressReporter(context, attempt.totalBytes);
    const lineTokens =
      task.detail === 'token' ? Math.min(task.segmentTokens, attempt.pins.chunkTokens) : task.segmentTokens;
    const lines = new ScoreLines(lineTokens, task, context.lease.head.score, attempt.position);
    const chunks: ChunkTask = {
      want: (chunk) => ({ kind: 'logprobs', targets: targetsOf(chunk), top: task.topLogprobs }),
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
  { input, pins, session }: Attempt,
  totals: ScoreTotals,
  state: StatePoint | null,
): Promise<JobResult> {
  const cached = cachedTokens(pins);
  const { inputBytes } = input;
  return context.lease.complete({
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

function targetsOf(chunk: InputChunk): Int32Array {
  const targets = new Int32Array(chunk.tokens.length);
  targets.set(chunk.tokens.subarray(1));
  targets[targets.length - 1] = chunk.next ?? -1;
  return targets;
}

function pointOf(session: Session, lines: ScoreLines, position: InputChunk['position']): CommitPoint {
  return {
    position: { ...position, outputCount: lines.written, nextToken: null },
    score: lines.totals,
    snapshot: () => session.snapshot(),
  };
}

/**
 * Cuts the log-probabilities into output lines of `lineTokens` predicting tokens each, on multiples of it. Sums are
 * f64 in token order, so they do not depend on chunks or commits. A line may be open across a commit.
 */
export class ScoreLines {
  private readonly lineTokens: number;
  private readonly task: Pick<ScoreTask, 'detail' | 'topLogprobs'>;
  private tokens: number;
  private nats: number;
  private line: { from: number; scored: number; nats: number; logprobs: number[]; top: TopRecord[] };
  private at: number;
  private count: number;

  constructor(
    lineTokens: number,
    task: Pick<ScoreTask, 'detail' | 'topLogprobs'>,
    resume: ScoreTotals | null,
    position: Position,
  ) {
    this.lineTokens = lineTokens;
    this.task = task;
    this.tokens = resume?.tokens ?? 0;
    this.nats = resume?.nats ?? 0;
    this.at = position.tokenOffset;
    this.count = position.outputCount;
    this.line = { ...(resume?.line ?? { from: this.at, scored: 0, nats: 0 }), logprobs: [], top: [] };
  }

  /** Lines written in all. */
  get written(): number {
    return this.count;
  }

  get totals(): ScoreTotals {
    const { from, scored, nats } = this.line;
    return { tokens: this.tokens, nats: this.nats, line: from === this.at ? null : { from, scored, nats } };
  }

  /** `logprobs[t]` is that of the token after `chunk.tokens[t]`, NaN where nothing follows; `top` goes with them. */
  take(chunk: InputChunk, logprobs: Float32Array, top: TopLogprobs): ScoreRecord[] {
    const { detail, topLogprobs } = this.task;
    const full: ScoreRecord[] = [];
    for (const [t, logprob] of logprobs.entries()) {
      this.at++;
      if (!Number.isNaN(logprob)) {
        this.tokens++;
        this.nats -= logprob;
        this.line.scored++;
        this.line.nats -= logprob;
        if (detail === 'token') this.line.logprobs.push(logprob);
        if (topLogprobs > 0) this.line.top.push(topOf(top, t, topLogprobs));
      } else if (chunk.next !== null || this.at !== chunk.position.tokenOffset) {
        throw new RangeError(`log-probability of token ${this.at} is not a number`);
      }
      if (this.at % this.lineTokens === 0) full.push(this.cut());
    }
    return full;
  }

  /** The last line, where it is not full. */
  finish(): ScoreRecord[] {
    return this.at > this.line.from ? [this.cut()] : [];
  }

  private cut(): ScoreRecord {
    const { from, scored, nats, logprobs, top } = this.line;
    const { detail, topLogprobs } = this.task;
    this.count++;
    this.line = { from: this.at, scored: 0, nats: 0, logprobs: [], top: [] };
    const line = { from, to: this.at, scored, nats, logprobs: detail === 'token' ? logprobs : null };
    return topLogprobs > 0 ? { ...line, top } : line;
  }
}
