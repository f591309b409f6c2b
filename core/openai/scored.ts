import type { OutputRecord, TopLogprobs } from '../contracts/output.ts';
import { logprobsOf, namedById, type ToldToken } from './log-probs.ts';
import type { Plan, PlannedChoice } from './plan.ts';

/** A prompt that was read, token by token. `logprob` is null for one that stands behind nothing. */
interface ScoredToken {
  readonly text: string;
  readonly logprob: number | null;
  readonly top: TopLogprobs;
  readonly token: number;
}

export interface ScoredTokens {
  readonly tokens: readonly ScoredToken[];
  /** The likeliest one behind them, of the same logits as its `top`. */
  readonly next: ScoredToken | null;
}

/** From the lines of a `score` job with `detail: 'text'`. */
export async function scoredTokens(records: AsyncIterable<OutputRecord>): Promise<ScoredTokens> {
  const tokens: ScoredToken[] = [];
  let next: ScoredToken | null = null;
  for await (const record of records) {
    if (!('nats' in record)) continue;
    if (record.first !== undefined) tokens.push({ ...record.first, logprob: null, top: [] });
    for (const [i, token] of (record.tokens ?? []).entries()) {
      const [text, logprob] = [record.texts?.[i] ?? '', record.logprobs?.[i] ?? null];
      tokens.push({ token, text, logprob, top: record.top?.[i] ?? [] });
    }
    if (record.next !== undefined) next = record.next;
  }
  return { tokens, next };
}

/** The choice that tells the prompt, and behind it, where that was asked for, the one token that follows. */
export function scoredChoice(
  { logprobs: top }: Plan,
  { next: wanted }: NonNullable<PlannedChoice['scored']>,
  { tokens, next }: ScoredTokens,
  index: number,
): object {
  const told = wanted && next !== null ? [...tokens, next] : tokens;
  const text = told.map((one) => one.text).join('');
  return { index, text, logprobs: top === null ? null : logprobsOf(told.map(toldOf), top, 0), finish_reason: 'length' };
}

/** Each likely token by its text alone. */
function toldOf({ text, logprob, top }: ScoredToken): ToldToken {
  return { text, logprob, top: top.map(([id, likely, alone]) => [alone ?? namedById(id), likely]) };
}
