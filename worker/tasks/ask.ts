import {
  type AnswerRecord,
  type AskTask,
  cachedTokensOf,
  type JobResult,
  type Position,
} from '@longhaul/core/contracts';
import { attribute, inSpan, spanName } from '@longhaul/core/telemetry';
import { answerOf } from './answer.ts';
import { type CommitPoint, Committer } from './committer.ts';
import { completeJob } from './complete.ts';
import type { JobContext } from './context.ts';
import { readDocument } from './ingest.ts';
import { LiveWriter } from './live-writer.ts';
import { ProgressReporter } from './progress.ts';
import { publishState } from './publish.ts';
import { type Asked, questionsFrom } from './questions.ts';
import { type Attempt, openAttempt } from './resume.ts';
import { checkBiases } from './sampling.ts';
import { commitStart } from './start.ts';
import type { TaskEnd, TaskRun } from './task.ts';

/** Questions taken up for each one that may run: answers wait for slower ones before them, so that all come in order. */
const aheadFactor = 4;
/** Characters of an answer's record beyond which the live stream leaves it out: readers find it in the ledger. */
const liveChars = 256 * 1024;

/**
 * Reads the document, where there is one, then answers the questions from the state at its end, each on a fork of its own,
 * as many at once as the worker allows. Answers are committed in their order, beside a state that does not move any more; what
 * an owner had not committed is written again by the next one, the same.
 */
export async function ask(context: JobContext, task: AskTask, run: TaskRun): Promise<TaskEnd> {
  checkBiases(task.sampling, context.engine.vocabSize);
  const attempt = await openAttempt(context, null, run.cancel.signal);
  const committer = new Committer(context, attempt.pins, run.recomputed);
  const { cancel } = run;
  const live = new LiveWriter(context);
  try {
    await commitStart(attempt, committer);
    live.emit({ kind: 'begin', position: attempt.position.outputCount });
    const progress = new ProgressReporter(context, attempt.totalBytes);
    const read = await readDocument(context, attempt, { committer, progress, cancel });
    if (read === 'drained') return { kind: 'drained' };
    if (read === 'cancelled') return await cancel.end();

    progress.update({ phase: 'generate', tokens: attempt.session.position });
    const sums = new AnswerSums(attempt);
    const end = await inSpan(spanName.generate, { [attribute.outputCount]: sums.count }, (span) =>
      answerAll(context, task, attempt, sums, cancel.signal, async (record) => {
        committer.add([record]);
        if (sizeOf(record) <= liveChars) live.emit({ kind: 'answer', position: sums.count, record });
        progress.update({ outputTokens: sums.count });
        await committer.offer(sums.point());
      }).finally(() => span.setAttribute(attribute.tokens, context.meter.generated)),
    );
    await committer.flush(sums.point());
    if (end === 'interrupted') {
      await live.settle();
      return cancel.requested ? await cancel.end() : { kind: 'drained' };
    }
    const [result] = await Promise.all([complete(context, attempt, sums), live.settle(), progress.finish()]);
    return { kind: 'done', result };
  } finally {
    live.close();
    await committer.close();
    await attempt.input.close();
    attempt.session.close();
  }
}

/** Hands out the records in the order of their questions; `interrupted` by a drain or a cancel. */
async function answerAll(
  context: JobContext,
  task: AskTask,
  attempt: Attempt,
  sums: AnswerSums,
  cancelled: AbortSignal,
  take: (record: AnswerRecord) => Promise<void>,
): Promise<'answered' | 'interrupted'> {
  const { drain, forks, lost, watch } = context;
  const over = new AbortController();
  const leave = AbortSignal.any([lost, drain, cancelled, over.signal]);
  const open = () =>
    context.openDocument(storedQuestions(task), { compression: 'none', pin: attempt.pins.questions, signal: leave });
  const asked = questionsFrom(task.questions, sums.next, open, leave);
  const underWay: { readonly asked: Asked; readonly record: Promise<AnswerRecord> }[] = [];
  try {
    for (let more = true; ; ) {
      while (more && underWay.length < aheadFactor * forks.most) {
        watch.waitsFor('source');
        const next = await asked.next();
        if (next.done === true) {
          more = false;
          break;
        }
        const record = answerOf(context, task, attempt, next.value, leave);
        // Awaited in its turn, or at the end.
        record.catch(() => undefined);
        underWay.push({ asked: next.value, record });
      }
      const first = underWay[0];
      if (first === undefined) return 'answered';
      const record = await first.record;
      underWay.shift();
      sums.add(record, first.asked.end);
      await take(record);
    }
  } catch (error) {
    if (lost.aborted || !leave.aborted) throw error;
    return 'interrupted';
  } finally {
    over.abort(new Error('the attempt is over'));
    await Promise.allSettled(underWay.map(({ record }) => record));
    await asked.return(undefined);
  }
}

function storedQuestions({ questions }: AskTask) {
  if (questions.kind === 'stored') return questions;
  throw new TypeError('inline questions are not opened');
}

async function complete(context: JobContext, attempt: Attempt, sums: AnswerSums): Promise<JobResult> {
  const { promptTokens, outputTokens, failed } = sums.answered;
  const { input, session } = attempt;
  const state = await publishState(context, attempt);
  const cached = cachedTokensOf(attempt);
  return await completeJob(context, {
    finishReason: 'answered',
    usage: {
      inputTokens: session.position - cached + promptTokens,
      cachedTokens: cached,
      outputTokens,
      inputBytes: input.inputBytes,
    },
    text: null,
    score: null,
    answers: { total: sums.count, failed },
    state,
  });
}

function sizeOf({ text, tokens, logprobs, top }: AnswerRecord): number {
  const told = (logprobs?.length ?? 0) + (top ?? []).reduce((sum, of) => sum + of.length, 0);
  return text.length + 7 * tokens.length + 24 * told;
}

/** What a commit says of the answers that have come so far. */
class AnswerSums {
  answered: NonNullable<Position['answered']>;
  count: number;
  private readonly attempt: Attempt;

  constructor(attempt: Attempt) {
    this.attempt = attempt;
    this.count = attempt.position.outputCount;
    this.answered = attempt.position.answered ?? { promptTokens: 0, outputTokens: 0, failed: 0, questionOffset: 0 };
  }

  /** The question that comes next. */
  get next(): { readonly index: number; readonly offset: number } {
    return { index: this.count, offset: this.answered.questionOffset };
  }

  /** `end`: where the next question begins. */
  add({ promptTokens, tokens, error }: AnswerRecord, end: number): void {
    const { answered } = this;
    this.count++;
    this.answered = {
      promptTokens: answered.promptTokens + promptTokens,
      outputTokens: answered.outputTokens + tokens.length,
      failed: answered.failed + (error === null ? 0 : 1),
      questionOffset: end,
    };
  }

  /** The state stands where the document's last commit left it. */
  point(): CommitPoint {
    const { input, position, session } = this.attempt;
    const tokenOffset = session.position;
    return {
      position: {
        tokenOffset,
        inputByteOffset: input.inputBytes,
        textCursor: null,
        inputTokens: tokenOffset,
        outputCount: this.count,
        nextToken: null,
        answered: this.answered,
        ...(position.cached && { cached: position.cached }),
      },
      score: null,
      snapshot: null,
    };
  }
}
