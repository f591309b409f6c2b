import type { OutputRecord, TokenRecord } from '../contracts/output.ts';
import type { JobResult } from '../contracts/result.ts';
import { stateUri } from '../contracts/state.ts';
import { logprobsOf, namedById } from './log-probs.ts';
import type { Plan, PlannedChoice } from './plan.ts';
import { scoredChoice, scoredTokens } from './scored.ts';

/** A job that made a choice, and what it made. */
export interface MadeChoice {
  readonly result: JobResult;
  /** Its output records in order; read only where the result alone does not tell. */
  readonly records: () => AsyncIterable<OutputRecord>;
}

export interface ResponseParts {
  readonly id: string;
  readonly createdAt: Date;
  readonly tenant: string;
}

export type FinishReason = 'stop' | 'length';

/** Tokens as OpenAI counts them: those that came with a state are among the prompt's. */
export interface ResponseUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
}

/** The whole response to a request whose jobs have all succeeded, choices in the plan's order. */
export async function responseOf(plan: Plan, made: readonly MadeChoice[], parts: ResponseParts): Promise<object> {
  const choices: object[] = [];
  for (const [index, one] of made.entries()) choices.push(await choiceOf(plan, plan.choices[index]!, one, index));
  return {
    id: parts.id,
    object: plan.object,
    created: Math.floor(parts.createdAt.getTime() / 1000),
    model: plan.model,
    choices,
    usage: usageOf(
      made.map(({ result }) => result),
      plan,
    ),
    longhaul: {
      jobs: made.map(({ result }) => result.jobId),
      states: made.flatMap(({ result: { state } }) =>
        state === null ? [] : [stateUri({ tenant: parts.tenant, ...state })],
      ),
    },
  };
}

async function choiceOf(plan: Plan, planned: PlannedChoice, made: MadeChoice, index: number): Promise<object> {
  const { result } = made;
  if (planned.scored !== null) return scoredChoice(plan, planned.scored, await scoredTokens(made.records()), index);
  const finish_reason = finishReasonOf(result);
  const tokens: TokenRecord[] = [];
  if (plan.logprobs !== null || result.text === null) {
    for await (const record of made.records()) if ('position' in record) tokens.push(record);
  }
  const text = result.text ?? tokens.map((token) => token.text).join('');
  if (plan.object === 'chat.completion') {
    const logprobs = plan.logprobs === null ? null : { content: tokens.map(chatLogprob), refusal: null };
    return { index, message: { role: 'assistant', content: text, refusal: null }, logprobs, finish_reason };
  }
  const logprobs = plan.logprobs === null ? null : completionLogprobs(tokens, plan.logprobs, planned.echo.length);
  return { index, text: `${planned.echo}${text}`, logprobs, finish_reason };
}

export function finishReasonOf({ finishReason }: Pick<JobResult, 'finishReason'>): FinishReason {
  return finishReason === 'length' ? 'length' : 'stop';
}

/** The tokens of the jobs together; choices of one prompt that read it alike are counted each, since each read it. */
export function usageOf(
  results: readonly Pick<JobResult, 'usage'>[],
  { choices }: Pick<Plan, 'choices'> = { choices: [] },
): ResponseUsage {
  const sum = (of: (usage: JobResult['usage']) => number) => results.reduce((total, { usage }) => total + of(usage), 0);
  const cached = sum(({ cachedTokens }) => cachedTokens);
  const prompt = sum(({ inputTokens }) => inputTokens) + cached;
  // The token behind a prompt that is told itself is no output record.
  const told = choices.filter(({ scored }) => scored?.next === true).length;
  const completion = sum(({ outputTokens }) => outputTokens) + told;
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached },
  };
}

/** Log-probabilities as completions tell them. `from`: characters of the text before the first token. */
export function completionLogprobs(tokens: readonly TokenRecord[], top: number, from: number): object {
  const told = tokens.map((token) => ({ text: token.text, logprob: token.logprob, top: topOf(token) }));
  return logprobsOf(told, top, from);
}

/** One token as chat completions tell it. */
export function chatLogprob(record: TokenRecord): object {
  const entry = (token: string, logprob: number) => ({ token, logprob, bytes: [...Buffer.from(token)] });
  return {
    ...entry(record.text, record.logprob),
    top_logprobs: topOf(record).map(([token, logprob]) => entry(token, logprob)),
  };
}

/** The likeliest tokens of a position by their text; one whose text is not told goes by its id. */
function topOf({ token, text, top = [] }: Pick<TokenRecord, 'token' | 'text' | 'top'>): [string, number][] {
  return top.map(([id, logprob, alone]) => [id === token ? text : (alone ?? namedById(id)), logprob]);
}
