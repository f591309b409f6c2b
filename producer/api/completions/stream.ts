import type { JobResult, OutputRecord, TokenRecord } from '@longhaul/core/contracts';
import {
  chatLogprob,
  completionLogprobs,
  finishReasonOf,
  scoredChoice,
  scoredTokens,
  usageOf,
} from '@longhaul/core/openai';
import type { FollowEvent } from '../../follow.ts';
import type { ApiParts } from '../parts.ts';
import type { ServerSentEvent } from '../sse.ts';
import type { Completion } from './accept.ts';
import { merge } from './merge.ts';
import { type ChoiceCursor, formatCursor } from './stream-cursor.ts';
import { checkSucceeded } from './wait.ts';

/** The first event that a choice without a token may wait for. */
type Step = FollowEvent | { readonly kind: 'begin' };

/**
 * The response in pieces, as the tokens come, then `[DONE]`. A reader that comes back with the id of the last event that
 * it has gets what follows it. A piece is given when its token is sampled, committed or not: should the worker be lost
 * then, its successor samples the very same tokens again, and those that were given are left out.
 */
export async function* streamOf(
  parts: ApiParts,
  completion: Completion,
  from: readonly ChoiceCursor[],
  signal: AbortSignal,
): AsyncGenerator<ServerSentEvent> {
  const { plan, jobIds, record } = completion;
  const cursors = [...from];
  const results: (JobResult | null)[] = jobIds.map(() => null);
  const event = (piece: object | null, data = JSON.stringify(piece)): ServerSentEvent => ({
    event: null,
    id: formatCursor(cursors),
    data,
  });
  const sources = jobIds.map((jobId, index) => steps(parts, jobId, cursors[index]!, signal));
  for await (const [index, step] of merge(sources)) {
    const cursor = cursors[index]!;
    if (step.kind === 'begin') {
      cursors[index] = { ...cursor, begun: true };
      const first = firstPiece(completion, index);
      if (first !== null) yield event(chunk(completion, first));
    } else if (step.kind === 'record') {
      const token = tokenAt(step.record, cursor.position + 1);
      if (token === null) continue;
      cursors[index] = { ...cursor, position: token.position };
      if (token.text !== '' || plan.logprobs !== null) yield event(chunk(completion, piece(completion, index, token)));
    } else if (step.kind === 'result') {
      checkSucceeded(step.result);
      results[index] = step.result;
      if (cursor.finished) continue;
      const { scored } = plan.choices[index]!;
      if (scored !== null) {
        const told = await scoredTokens(parts.producer.records(step.result.jobId));
        cursors[index] = { ...cursor, finished: true };
        yield event(chunk(completion, scoredChoice(plan, scored, told, index)));
        continue;
      }
      cursors[index] = { ...cursor, finished: true };
      yield event(chunk(completion, lastPiece(completion, index, step.result)));
    }
  }
  await parts.limits.closeJobs(record.tenant, jobIds);
  if (plan.stream?.includeUsage === true) {
    const usage = usageOf(
      results.filter((result) => result !== null),
      plan,
    );
    yield event({ ...envelope(completion), choices: [], usage });
  }
  yield event(null, '[DONE]');
}

/** What a choice needs on its way to the end, the records behind the reader's cursor on. */
async function* steps(
  { producer }: ApiParts,
  jobId: string,
  { begun, position }: ChoiceCursor,
  signal: AbortSignal,
): AsyncGenerator<Step> {
  if (!begun) yield { kind: 'begin' };
  yield* producer.follow(jobId, { after: position, signal });
}

/** Null for a record that was given before: a new owner makes it again, the same. */
function tokenAt(record: OutputRecord, position: number): TokenRecord | null {
  return 'position' in record && record.position >= position ? record : null;
}

function envelope({ record, plan }: Completion) {
  const object = plan.object === 'chat.completion' ? 'chat.completion.chunk' : plan.object;
  return { id: record.id, object, created: Math.floor(Date.parse(record.createdAt) / 1000), model: plan.model };
}

function chunk(completion: Completion, choice: object): object {
  // Where usage is told at the end, every chunk before it says that it tells none.
  const usage = completion.plan.stream?.includeUsage === true ? { usage: null } : {};
  return { ...envelope(completion), choices: [choice], ...usage };
}

function firstPiece({ plan }: Completion, index: number): object | null {
  if (plan.object === 'chat.completion') {
    const delta = { role: 'assistant', content: '', refusal: null };
    return { index, delta, logprobs: null, finish_reason: null };
  }
  const { echo } = plan.choices[index]!;
  return echo === '' ? null : { index, text: echo, logprobs: null, finish_reason: null };
}

function piece({ plan }: Completion, index: number, token: TokenRecord): object {
  const { text } = token;
  if (plan.object === 'chat.completion') {
    const logprobs = plan.logprobs === null ? null : { content: [chatLogprob(token)], refusal: null };
    return { index, delta: { content: text }, logprobs, finish_reason: null };
  }
  const logprobs = plan.logprobs === null ? null : completionLogprobs([token], plan.logprobs, 0);
  return { index, text, logprobs, finish_reason: null };
}

function lastPiece({ plan }: Completion, index: number, result: JobResult): object {
  const finish_reason = finishReasonOf(result);
  if (plan.object === 'chat.completion') return { index, delta: {}, logprobs: null, finish_reason };
  return { index, text: '', logprobs: null, finish_reason };
}
