import { h, setText } from '../dom.js';
import { count, counted, duration, percent } from '../format.js';
import { fractionOf, progressBar, statusBadge } from '../parts.js';

/** One job of the list. Narrow screens show it as a card, whose cells bear the names of their columns. */
export function jobRow(jobId) {
  const cell = (name, className, ...children) =>
    h('td', { role: 'cell', class: className, 'data-name': name }, ...children);
  const badge = statusBadge('queued');
  const bar = progressBar(`Progress of ${jobId}`);
  const said = h('span', { class: 'said' });
  const task = h('span', { class: 'task' });
  const speed = h('span');
  const eta = h('span');
  const attempts = h('span');
  const age = h('span');
  const link = h('a', { href: `#/jobs/${encodeURIComponent(jobId)}`, class: 'id' }, jobId);
  const element = h(
    'tr',
    { role: 'row' },
    cell('Job', 'job', link, task),
    cell('Status', 'status', badge.element),
    cell('Progress', 'wide', bar.element, said),
    cell('Tokens/s', 'number', speed),
    cell('ETA', 'number', eta),
    cell('Attempts', 'number', attempts),
    cell('Age', 'number', age),
  );
  const show = (job) => {
    badge.show(job.status, job.cancelRequested);
    setText(task, `${job.task} on ${job.model}`);
    const fraction = fractionOf(job);
    const told = saidOf(job);
    const share = job.tokens > 0 ? job.committedTokens / job.tokens : 0;
    bar.show(fraction, fraction === null ? null : fraction * share, told);
    bar.element.hidden = fraction === null && job.status !== 'running';
    setText(said, told);
    setText(speed, job.tokensPerSecond === null ? '–' : count(job.tokensPerSecond));
    setText(eta, job.status === 'running' ? duration(job.etaSeconds) : '–');
    setText(attempts, String(job.attempts));
    setText(age, duration((Date.now() - Date.parse(job.createdAt)) / 1000));
  };
  return { element, show };
}

function saidOf(job) {
  if (job.failure !== null) return `${job.failure.code}: ${job.failure.message}`;
  if (job.status === 'queued' && job.tokens === 0) return 'waits for a worker';
  const tokens = counted(job.tokens, 'token');
  if (job.status !== 'running')
    return `${tokens} read${[null, 'read', job.status].includes(job.finishReason) ? '' : `, ${job.finishReason}`}`;
  const phase = job.phase === 'generate' ? (job.task === 'ask' ? 'answering' : 'writing') : 'reading';
  return `${phase}${job.fraction === null ? '' : ` ${percent(job.fraction)}`} · ${tokens}`;
}
