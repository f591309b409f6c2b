import { h } from '../dom.js';
import { count, counted, duration, percent } from '../format.js';
import { figure, fractionOf, progressBar } from '../parts.js';
import { sparkline } from './sparkline.js';

/** How far a job is and how fast: from the job as it is asked for, and between that from the progress that comes live. */
export function jobFigures() {
  const bar = progressBar('Progress of the job');
  const said = h('p', { class: 'phase' });
  const speed = figure('Tokens/s');
  const spark = sparkline();
  speed.element.append(spark.element);
  const eta = figure('ETA');
  const tokens = figure('Tokens read');
  const committed = figure('Committed');
  const attempts = figure('Attempts');
  const twice = figure('Read twice');
  const age = figure('Age');
  const worker = figure('Worker');
  const dl = h(
    'dl',
    { class: 'figures' },
    ...[speed, eta, tokens, committed, attempts, twice, age, worker].map((f) => f.element),
  );
  const element = h('section', { class: 'card progress-card', 'aria-label': 'Progress' }, bar.element, said, dl);
  let job = null;
  let pushedAt = '';
  const showBar = (phase, fraction, done, safe) => {
    const doing = phase === 'generate' ? (job?.task === 'ask' ? 'answering' : 'writing') : 'reading';
    const text =
      job?.status === 'running' ? `${doing}${fraction === null ? '' : `, ${percent(fraction)}`}` : (job?.status ?? '');
    bar.show(fraction, fraction === null || done === 0 ? null : fraction * (safe / done), text);
    bar.element.hidden = fraction === null && job?.status !== 'running';
    said.textContent = `${text.charAt(0).toUpperCase()}${text.slice(1)}. ${counted(done, 'token')} read, ${count(safe)} of them committed.`;
  };
  return {
    element,
    showJob(next) {
      job = next;
      showBar(job.phase, fractionOf(job), job.tokens, job.committedTokens);
      const open = job.status === 'running' || job.status === 'queued';
      for (const { element } of [speed, eta, worker]) element.hidden = !open;
      tokens.show(count(job.tokens));
      committed.show(`${count(job.committedTokens)} in ${counted(job.commits, 'commit')}`);
      attempts.show(String(job.attempts));
      twice.show(counted(job.recomputedTokens, 'token'));
      age.show(duration((Date.now() - Date.parse(job.createdAt)) / 1000));
      worker.show(job.worker ?? '–');
      eta.show(job.status === 'running' ? duration(job.etaSeconds) : '–');
      speed.show(job.tokensPerSecond === null ? '–' : count(job.tokensPerSecond));
    },
    showProgress(progress, estimate) {
      if (job !== null) showBar(progress.phase, estimate.fraction, progress.tokens, progress.committedTokens);
      tokens.show(count(progress.tokens));
      committed.show(`${count(progress.committedTokens)} in ${counted(progress.commits, 'commit')}`);
      if (progress.tokensPerSecond > 0) {
        speed.show(count(progress.tokensPerSecond));
        if (progress.updatedAt !== pushedAt) spark.push(progress.tokensPerSecond);
        pushedAt = progress.updatedAt;
      }
      eta.show(duration(estimate.etaSeconds));
    },
  };
}
