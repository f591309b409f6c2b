/** A token as it is told: its text, its log-probability, null behind nothing, and the likeliest in its place, by their texts. */
export interface ToldToken {
  readonly text: string;
  readonly logprob: number | null;
  readonly top: readonly (readonly [string, number])[];
}

/** Log-probabilities as completions tell them. `top`: how many likeliest ones; `from`: characters before the first token. */
export function logprobsOf(told: readonly ToldToken[], top: number, from: number): object {
  let offset = from;
  const text_offset = told.map(({ text }) => {
    const at = offset;
    offset += text.length;
    return at;
  });
  return {
    tokens: told.map(({ text }) => text),
    token_logprobs: told.map(({ logprob }) => logprob),
    top_logprobs: top === 0 ? null : told.map(({ logprob, top: some }) => (logprob === null ? null : byText(some))),
    text_offset,
  };
}

/** What a likely token whose text is not told goes by. */
export function namedById(id: number): string {
  return `token_id:${id}`;
}

/** Of two tokens that look alike the likelier one, which comes first. */
function byText(top: ToldToken['top']): Record<string, number> {
  return Object.fromEntries(top.toReversed());
}
