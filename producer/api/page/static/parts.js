import { h, setAttribute, setText } from './dom.js';
import { percent } from './format.js';

/** What each status means, for the mark beside its word: a shape, so that colour alone never says it. */
const shapes = { queued: '◌', running: '▶', done: '✓', cancelled: '■', quarantined: '!', expired: '⌛' };

export function statusBadge(status) {
  const shape = h('span', { 'aria-hidden': 'true', class: 'shape' });
  const word = h('span');
  const badge = h('span', { class: 'badge' }, shape, word);
  const show = (now, cancelRequested = false) => {
    setAttribute(badge, 'data-status', now);
    setText(shape, shapes[now] ?? '?');
    setText(word, cancelRequested && (now === 'running' || now === 'queued') ? `${now}, cancelling` : now);
  };
  show(status);
  return { element: badge, show };
}

/** A bar with the share that is done and, darker, the share that is committed. */
export function progressBar(label) {
  const committed = h('span', { class: 'committed' });
  const done = h('span', { class: 'done' });
  const bar = h(
    'div',
    { class: 'progress', role: 'progressbar', 'aria-label': label, 'aria-valuemin': 0, 'aria-valuemax': 100 },
    done,
    committed,
  );
  const show = (fraction, committedFraction, text) => {
    setAttribute(bar, 'aria-valuenow', fraction === null ? null : Math.floor(fraction * 100));
    setAttribute(bar, 'aria-valuetext', text ?? (fraction === null ? 'not known' : percent(fraction)));
    bar.classList.toggle('unknown', fraction === null);
    done.style.width = `${100 * (fraction ?? 0)}%`;
    committed.style.width = `${100 * Math.min(fraction ?? 0, committedFraction ?? 0)}%`;
  };
  show(null, null);
  return { element: bar, show };
}

export function figure(name) {
  const value = h('dd');
  const element = h('div', { class: 'figure' }, h('dt', {}, name), value);
  return { element, value, show: (text) => setText(value, text) };
}

/** A line that says what is wrong, empty while nothing is. */
export function troubleLine() {
  const element = h('p', { class: 'trouble', role: 'status', hidden: true });
  const show = (text) => {
    element.hidden = text === null;
    setText(element, text ?? '');
  };
  return { element, show };
}

/** How far a job is, 0 to 1; null where nobody knows. */
export function fractionOf(job) {
  if (job.status === 'done') return 1;
  return job.fraction;
}
