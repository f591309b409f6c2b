import { h } from '../dom.js';
import { bytes, count, counted, duration } from '../format.js';

/** What a job used and what came of it, a line each. */
export function resultFacts(result) {
  const { usage, stats, score, answers, state, digests } = result;
  const rows = [
    ['Ended', `${result.status}, ${result.finishReason}`],
    ['Read', `${counted(usage.inputTokens, 'token')} from ${bytes(usage.inputBytes)}`],
  ];
  if (usage.cachedTokens > 0) rows.push(['Came with the state', counted(usage.cachedTokens, 'token')]);
  if (usage.outputTokens > 0) rows.push(['Written', counted(usage.outputTokens, 'token')]);
  if (answers !== null)
    rows.push(['Answers', `${count(answers.total)}${answers.failed > 0 ? `, ${answers.failed} of them errors` : ''}`]);
  if (score !== null) {
    rows.push(
      [
        'Surprise',
        `${score.nats.toLocaleString('en-US', { maximumFractionDigits: 3 })} nats over ${counted(score.tokens, 'token')}`,
      ],
      ['Bits a byte', score.bitsPerByte.toFixed(4)],
      ['Perplexity', score.perplexity.toFixed(4)],
    );
  }
  if (state !== null) {
    rows.push([
      'Saved as',
      h('a', { href: `#/states/${encodeURIComponent(state.name)}` }, `${state.name}@${state.version}`),
    ]);
  }
  rows.push(
    [
      'Work',
      `${duration(stats.busySeconds)} in ${counted(stats.attempts, 'attempt')} and ${counted(stats.commits, 'commit')}`,
    ],
    ['Read twice', counted(stats.recomputedTokens, 'token')],
    ['Digest of the output', h('code', {}, digests.output)],
  );
  if (digests.state !== null) rows.push(['Digest of the state', h('code', {}, digests.state)]);
  return h('dl', { class: 'facts' }, ...rows.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]));
}
