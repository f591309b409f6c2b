import {
  cachedTokensOf,
  type GenerateTask,
  type LiveEvent,
  type Position,
  RejectedJob,
  type TokenRecord,
} from '@longhaul/core/contracts';
import { attribute, inSpan, spanName } from '@longhaul/core/telemetry';
import type { StepResult, Want } from '@longhaul/native';
import { type CommitPoint, Committer } from './committer.ts';
import { completeJob } from './complete.ts';
import type { JobContext } from './context.ts';
import { Continuation } from './continuation.ts';
import { LiveWriter } from './live-writer.ts';
import { ProgressReporter } from './progress.ts';
import { publishState } from './publish.ts';
import { readInput } from './read-input.ts';
import { type Attempt, openAttempt } from './resume.ts';
import { checkBiases, type Draws, drawsOf } from './sampling.ts';
import { commitStart } from './start.ts';
import type { TaskEnd, TaskRun } from './task.ts';
import { topOf } from './top-of.ts';

/** Reads the document and the prompt, then writes on: one output record a token. */
export async function generate(context: JobContext, task: GenerateTask, run: TaskRun): Promise<TaskEnd> {
  checkBiases(task.sampling, context.engine.vocabSize);
  const attempt = await openAttempt(context, task.prompt, run.cancel.signal);
  const committer = new Committer(context, attempt.pins, run.recomputed);
  const { cancel } = run;
  const live = new LiveWriter(context);
  try {
    await commitStart(attempt, committer);
    const progress = new ProgressReporter(context, attempt.totalBytes);
    // Behind the opening of the attempt, which may have sent the committed output back.
    const text = await replay(context, task);
    live.emit({ kind: 'begin', position: text.count });
    const decode = new Decode(context, task, attempt, text, committer, live);
    if (text.count === 0) {
      const end = await readInput(
        context,
        attempt,
        { committer, progress, cancel },
        {
          want: (chunk) => (chunk.next === null ? decode.want() : { kind: 'nothing' }),
          take: (chunk, result) => {
            if (chunk.next === null) decode.take(result);
          },
          point: (chunk) => ({ ...decode.point(), position: { ...decode.position(), ...chunk.position } }),
        },
      );
      if (end === 'drained') return { kind: 'drained' };
      if (end === 'cancelled') return await cancel.end();
    }

    progress.update({ phase: 'generate' });
    const end = await inSpan(spanName.generate, { [attribute.outputCount]: text.count }, async (span) => {
      const before = text.count;
      try {
        while (text.finishReason === null && !cancel.requested && !context.drain.aborted) {
          await decode.step();
          progress.update({ tokens: attempt.session.position, outputTokens: text.count });
          await committer.offer(decode.point());
        }
      } finally {
        span.setAttribute(attribute.tokens, text.count - before);
      }
      return text.finishReason;
    });
    if (end === null) {
      await Promise.all([committer.flush(decode.point()), live.settle()]);
      if (!cancel.requested) return { kind: 'drained' };
      return await cancel.end();
    }
    await decode.readLast();
    await committer.flush(decode.point());
    const state = await publishState(context, attempt);
    const cached = cachedTokensOf(attempt);
    const completing = completeJob(context, {
      finishReason: end,
      usage: {
        inputTokens: (decode.position().inputTokens ?? cached) - cached,
        cachedTokens: cached,
        outputTokens: text.count,
        inputBytes: attempt.input.inputBytes,
      },
      text: text.text,
      score: null,
      answers: null,
      state,
    });
    // The stream's last word comes behind its tokens, the ledger's does not wait for them.
    const [result] = await Promise.all([completing, live.settle(), progress.finish()]);
    return { kind: 'done', result };
  } finally {
    live.close();
    await committer.close();
    await attempt.input.close();
    attempt.session.close();
  }
}

/** The text as the committed records left it. */
async function replay(context: JobContext, task: GenerateTask): Promise<Continuation> {
  const text = new Continuation(task, context.engine.eosTokenIds, context.tokenizer.decoder());
  for await (const record of context.ledger.readOutput(context.spec.jobId, { skip: 0 })) {
    if (!('token' in record))
      throw new RejectedJob('object_corrupt', 'the output of a generate job holds a record of another task');
    text.push(record.token, record.logprob, record.top);
  }
  return text;
}

/** The decode phase: samples, feeds what was sampled, and says where a commit stands. */
class Decode {
  private readonly context: JobContext;
  private readonly task: GenerateTask;
  private readonly attempt: Attempt;
  private readonly text: Continuation;
  private readonly committer: Committer;
  private readonly live: LiveWriter;
  private readonly draws: Draws;
  /** The token sampled last: not fed yet. */
  private next: number | null;

  constructor(
    context: JobContext,
    task: GenerateTask,
    attempt: Attempt,
    text: Continuation,
    committer: Committer,
    live: LiveWriter,
  ) {
    this.context = context;
    this.task = task;
    this.attempt = attempt;
    this.text = text;
    this.committer = committer;
    this.live = live;
    this.next = context.lease.head.position.nextToken;
    this.draws = drawsOf(task.sampling);
  }

  /** Feeds the last token and samples the one after it. */
  async step(): Promise<void> {
    const { engine, lost, watch } = this.context;
    lost.throwIfAborted();
    watch.waitsFor('engine');
    this.take(await engine.step(this.attempt.session, Int32Array.of(this.next!), this.want(), 'decode'));
  }

  /** A state that is saved has read all that was written: its last token too. */
  async readLast(): Promise<void> {
    const { engine, spec, watch } = this.context;
    if (spec.saveAs === null || this.next === null) return;
    watch.waitsFor('engine');
    await engine.step(this.attempt.session, Int32Array.of(this.next), { kind: 'nothing' }, 'decode');
    this.next = null;
  }

  want(): Want {
    const { sampling, topLogprobs: top } = this.task;
    const { penalized, count } = this.text;
    return {
      kind: 'sample',
      sampling: { ...this.draws, penalized, seed: BigInt(sampling.seed), position: count + 1 },
      top,
    };
  }

  take(result: StepResult): void {
    if (result.kind !== 'sample') throw new TypeError(`the engine answered ${result.kind}, a sample was asked for`);
    this.next = result.token;
    const top =
      this.task.topLogprobs === 0 ? undefined : topOf(result.top, 0, this.task.topLogprobs, this.context.tokenizer);
    const record: TokenRecord = this.text.push(result.token, result.logprob, top);
    this.committer.add([record]);
    this.context.meter.token(this.text.count === 1);
    const event: LiveEvent = { kind: 'token', ...record };
    this.live.emit(event);
  }

  point(): CommitPoint {
    return { position: this.position(), score: null, snapshot: () => this.attempt.session.snapshot() };
  }

  position(): Position {
    const { cached } = this.attempt.position;
    return {
      tokenOffset: this.attempt.session.position,
      inputByteOffset: this.attempt.input.inputBytes,
      textCursor: null,
      inputTokens: this.attempt.input.inputTokens,
      outputCount: this.text.count,
      nextToken: this.next,
      ...(cached && { cached }),
    };
  }
}
