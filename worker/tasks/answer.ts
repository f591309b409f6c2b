import {
  type AnswerRecord,
  type AskTask,
  describeError,
  type ErrorCode,
  type Question,
  type TopLogprobs,
} from '@longhaul/core/contracts';
import type { Session, StepResult, Want } from '@longhaul/native';
import { jobError } from '../disposition.ts';
import type { JobContext } from './context.ts';
import { Continuation } from './continuation.ts';
import { promptTokens } from './prompt.ts';
import type { Asked } from './questions.ts';
import type { Attempt } from './resume.ts';
import { type Draws, drawsOf } from './sampling.ts';
import { topOf } from './top-of.ts';

/**
 * Answers one question on a fork of the session that has read the document, which is not touched. What is wrong with the
 * question itself becomes its record; whatever else fails is thrown. `leave` ends it between two steps, by its reason.
 */
export async function answerOf(
  context: JobContext,
  task: AskTask,
  { pins, session: base }: Pick<Attempt, 'pins' | 'session'>,
  { index, question }: Asked,
  leave: AbortSignal,
): Promise<AnswerRecord> {
  if ('problem' in question) return unanswered(index, null, 'invalid_argument', question.problem);
  await context.forks.take(leave);
  let session: Session | null = null;
  try {
    session = base.fork();
    const answer = new Answer(context, task, index, question);
    await answer.write(session, pins.chunkTokens, leave);
    return answer.record();
  } catch (error) {
    if (leave.aborted) throw leave.reason;
    const { code, disposition } = jobError(error);
    if (disposition !== 'quarantine') throw error;
    return unanswered(index, question.id, code, describeError(error));
  } finally {
    session?.close();
    context.forks.release();
  }
}

function unanswered(index: number, id: string | null, code: ErrorCode, message: string): AnswerRecord {
  return {
    index,
    id,
    text: '',
    promptTokens: 0,
    tokens: [],
    finishReason: 'error',
    logprobs: null,
    error: { code, message: message.slice(0, 1024) },
  };
}

/** The seed of a question's draws: that of the job for the first one, and far from each other's for the others. */
export function seedOf(seed: string, index: number): bigint {
  return BigInt.asUintN(64, BigInt(seed) + BigInt(index) * 0x9e37_79b9_7f4a_7c15n);
}

/** One answer as it is written: reads the question, then samples token by token. */
class Answer {
  private readonly context: JobContext;
  private readonly task: AskTask;
  private readonly index: number;
  private readonly question: Question;
  private readonly text: Continuation;
  private readonly draws: Draws & { readonly seed: bigint };
  private readonly pieces: string[] = [];
  private readonly tokens: number[] = [];
  private readonly logprobs: number[] = [];
  private readonly top: TopLogprobs[] = [];
  private promptTokens = 0;

  constructor(context: JobContext, task: AskTask, index: number, question: Question) {
    const { engine, tokenizer } = context;
    this.context = context;
    this.task = task;
    this.index = index;
    this.question = question;
    this.draws = { ...drawsOf(task.sampling), seed: seedOf(task.sampling.seed, index) };
    const maxNewTokens = question.maxNewTokens ?? task.maxNewTokens;
    this.text = new Continuation({ ...task, maxNewTokens }, engine.eosTokenIds, tokenizer.decoder());
  }

  /** The question is read in chunks on the same grid as a document, so that a device sees the same shapes. */
  async write(session: Session, chunkTokens: number, leave: AbortSignal): Promise<void> {
    const prompt = await promptTokens(this.context, this.question.prompt);
    this.promptTokens = prompt.length;
    for (let from = 0; from < prompt.length; ) {
      const to = Math.min(prompt.length, from + chunkTokens - (session.position % chunkTokens));
      const last = to === prompt.length;
      const want: Want = last ? this.want() : { kind: 'nothing' };
      const result = await this.step(session, prompt.subarray(from, to), want, 'prefill', leave);
      this.context.meter.readTokens(to - from);
      if (last) this.take(result);
      from = to;
    }
    while (this.text.finishReason === null) {
      const next = Int32Array.of(this.tokens.at(-1)!);
      this.take(await this.step(session, next, this.want(), 'decode', leave));
    }
  }

  record(): AnswerRecord {
    const { index, question, tokens, logprobs, top, promptTokens, task } = this;
    const told = {
      index,
      id: question.id,
      text: this.pieces.join(''),
      promptTokens,
      tokens,
      finishReason: this.text.finishReason!,
      logprobs: task.logprobs ? logprobs : null,
      error: null,
    };
    return task.topLogprobs > 0 ? { ...told, top } : told;
  }

  private async step(
    session: Session,
    tokens: Int32Array,
    want: Want,
    phase: 'prefill' | 'decode',
    leave: AbortSignal,
  ): Promise<StepResult> {
    leave.throwIfAborted();
    this.context.watch.waitsFor('engine');
    const result = await this.context.engine.step(session, tokens, want, phase);
    this.context.watch.alive();
    return result;
  }

  private want(): Want {
    const { penalized, count } = this.text;
    const sampling = { ...this.draws, penalized, position: count + 1 };
    return { kind: 'sample', sampling, top: this.task.topLogprobs };
  }

  private take(result: StepResult): void {
    if (result.kind !== 'sample') throw new TypeError(`the engine answered ${result.kind}, a sample was asked for`);
    const { token, logprob } = result;
    this.pieces.push(this.text.push(token, logprob).text);
    this.tokens.push(token);
    if (this.task.logprobs) this.logprobs.push(logprob);
    if (this.task.topLogprobs > 0) this.top.push(topOf(result.top, 0, this.task.topLogprobs, this.context.tokenizer));
    this.context.meter.token(this.index === 0 && this.tokens.length === 1);
  }
}
