import type { OutputRecord, TopLogprobs } from '../contracts/output.ts';
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
  return { index, text, logprobs: top === null ? null : logprobsOf(told, top), finish_reason: 'length' };
}

function logprobsOf(tokens: readonly ScoredToken[], top: number): object {
  let offset = 0;
  const text_offset = tokens.map(({ text }) => {
    const at = offset;
    offset += text.length;
    return at;
  });
  return {
    tokens: tokens.map(({ text }) => text),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: top === 0 ? null : tokens.map(({ logprob, top }) => (logprob === null ? null : byText(top))),
    text_offset,
  };
}

/** Each by its text alone; of two that look alike the likelier one. */
function byText(top: TopLogprobs): Record<string, number> {
  return Object.fromEntries(
    top.toReversed().map(([id, logprob, text]) => [text === undefined ? `token_id:${id}` : text, logprob]),
  );
}
