import { ApiFailure } from './api.js';
import { h } from './dom.js';
import { jobView } from './job/view.js';
import { jobsView } from './jobs/view.js';
import { forgetKey, readKey } from './key.js';
import { keyView } from './key-view.js';
import { stateView } from './states/state.js';
import { statesView } from './states/view.js';

/**
 * The address behind `#` says what is shown: `#/jobs`, `#/jobs/ID`, `#/states`, `#/states/NAME`. Each view draws itself into
 * `main` and lives until its signal aborts; one that ends with a refused key gives way to the question for another.
 */
const main = document.getElementById('main');
const forget = document.getElementById('forget');
let leave = new AbortController();

function route() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [section, name = null] = path.split('/').map(decodeURIComponent);
  return {
    section: section === '' ? 'jobs' : section,
    name: name === '' ? null : name,
    query: new URLSearchParams(query),
  };
}

function viewOf({ section, name }) {
  if (readKey() === null) return keyView;
  if (section === 'jobs') return name === null ? jobsView : jobView;
  if (section === 'states') return name === null ? statesView : stateView;
  return lostView;
}

async function lostView(root) {
  root.replaceChildren(
    h('h1', { tabindex: -1 }, 'There is no such page'),
    h('p', {}, h('a', { href: '#/jobs' }, 'All jobs')),
  );
}

/** Draws the view anew. `focus`: whoever came by a link hears the new heading. */
async function show({ focus }) {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const here = route();
  forget.hidden = readKey() === null;
  for (const link of document.querySelectorAll('nav [data-view]')) {
    if (link.dataset.view === here.section) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  const root = h('div', { class: 'view' });
  main.replaceChildren(root);
  const drawing = viewOf(here)(root, { ...here, signal, again: () => show({ focus: true }) });
  const heading = root.querySelector('h1');
  document.title = heading === null ? 'longhaul' : `${heading.textContent} · longhaul`;
  if (focus) (heading ?? main).focus();
  try {
    await drawing;
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof ApiFailure && error.status === 401) {
      forgetKey();
      await show({ focus: true });
      return;
    }
    const text = error instanceof ApiFailure ? error.message : `the page failed: ${error}`;
    root.append(h('p', { class: 'trouble', role: 'alert' }, text));
  }
}

forget.addEventListener('click', () => {
  forgetKey();
  show({ focus: true });
});
document.getElementById('skip').addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener('hashchange', () => show({ focus: true }));
show({ focus: false });
