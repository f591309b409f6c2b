import type { TopLogprobs as TopRecord } from '@longhaul/core/contracts';
import type { TopLogprobs } from '@longhaul/native';
import type { Tokenizer } from '../text/ports.ts';

/**
 * The `count` most likely tokens of position t, as records tell them; fewer where the vocabulary has fewer. `texts`: by whom
 * their texts are told, null where they are not.
 */
export function topOf(top: TopLogprobs, t: number, count: number, texts: Pick<Tokenizer, 'textOf'> | null): TopRecord {
  const entries: TopRecord = [];
  for (let i = t * count; i < (t + 1) * count; i++) {
    const token = top.ids[i]!;
    if (token < 0) continue;
    const logprob = top.logprobs[i]!;
    entries.push(texts === null ? [token, logprob] : [token, logprob, texts.textOf(token)]);
  }
  return entries;
}
