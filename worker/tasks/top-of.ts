import type { TopLogprobs as TopRecord } from '@longhaul/core/contracts';
import type { TopLogprobs } from '@longhaul/native';

/** The `count` most likely tokens of position t, as records tell them; fewer where the vocabulary has fewer. */
export function topOf(top: TopLogprobs, t: number, count: number): TopRecord {
  const entries: TopRecord = [];
  for (let i = t * count; i < (t + 1) * count; i++) {
    const token = top.ids[i]!;
    if (token >= 0) entries.push([token, top.logprobs[i]!]);
  }
  return entries;
}
