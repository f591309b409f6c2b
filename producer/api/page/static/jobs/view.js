import { announce } from '../announce.js';
import { ask } from '../api.js';
import { h, setText } from '../dom.js';
import { count, counted } from '../format.js';
import { troubleLine } from '../parts.js';
import { poll } from '../poll.js';
import { jobRow } from './row.js';

const everyMs = 2000;
/** Jobs of one answer, and answers that are asked for at most each time. */
const pageJobs = 100;
const mostPages = 5;

const filters = [
  ['all', 'All', () => true],
  ['running', 'Running', ({ status }) => status === 'running'],
  ['queued', 'Queued', ({ status }) => status === 'queued'],
  ['done', 'Done', ({ status }) => status === 'done'],
  ['failed', 'Failed', ({ status }) => status === 'quarantined' || status === 'expired'],
  ['cancelled', 'Cancelled', ({ status }) => status === 'cancelled'],
];

const columns = ['Job', 'Status', 'Progress', 'Tokens/s', 'ETA', 'Attempts', 'Age'];

/** The jobs of the key's tenant, newest first, as they go on. */
export async function jobsView(root, { query, signal }) {
  const trouble = troubleLine();
  const rows = new Map();
  let jobs = [];
  let more = false;
  let pages = 1;
  let chosen = filters.find(([name]) => name === query.get('status')) ?? filters[0];
  const body = h('tbody', { role: 'rowgroup' });
  const summary = h('p', { class: 'hint' }, 'Loading…');
  const choices = filters.map((filter) => {
    const [name, label] = filter;
    const tally = h('span', { class: 'tally' });
    const choose = () => {
      chosen = filter;
      // The choice is part of the address, so that it can be kept and sent, and Back leads out of the list.
      history.replaceState(null, '', name === 'all' ? '#/jobs' : `#/jobs?status=${name}`);
      draw();
      announce(summary.textContent);
    };
    const input = h('input', {
      type: 'radio',
      name: 'status',
      value: name,
      onchange: choose,
      ...(filter === chosen ? { checked: true } : {}),
    });
    return {
      filter,
      tally,
      element: h('label', { class: 'chip' }, input, h('span', { class: 'face' }, label, ' ', tally)),
    };
  });
  const draw = () => {
    for (const { filter, tally } of choices) setText(tally, String(jobs.filter(filter[2]).length));
    const wanted = jobs.filter(chosen[2]);
    const shown = wanted.map((job) => {
      const row = rows.get(job.jobId) ?? jobRow(job.jobId);
      rows.set(job.jobId, row);
      row.show(job);
      return row.element;
    });
    // Rows that stay are not touched: focus stays where it is.
    for (const row of [...body.children]) if (!shown.includes(row)) row.remove();
    for (const [i, row] of shown.entries())
      if (body.children[i] !== row) body.insertBefore(row, body.children[i] ?? null);
    table.hidden = wanted.length === 0;
    setText(summary, summaryOf(wanted.length));
    older.hidden = !more || pages >= mostPages;
  };
  const summaryOf = (n) => {
    if (jobs.length === 0) return 'No jobs yet. Submit one: longhaul submit FILE';
    if (n === 0) return `No job is ${chosen[1].toLowerCase()}.`;
    const which = chosen[0] === 'all' ? '' : `, ${chosen[1].toLowerCase()}`;
    return `${counted(n, 'job')}${which}${more ? `, of the newest ${count(jobs.length)}` : ''}`;
  };
  const showOlder = () => {
    pages += 1;
    older.hidden = true;
  };
  const older = h('button', { type: 'button', class: 'quiet', hidden: true, onclick: showOlder }, 'Show older jobs');
  const table = h(
    'table',
    { class: 'jobs', role: 'table', 'aria-label': 'Jobs', hidden: true },
    h(
      'thead',
      { role: 'rowgroup' },
      h('tr', { role: 'row' }, ...columns.map((name) => h('th', { role: 'columnheader', scope: 'col' }, name))),
    ),
    body,
  );
  root.append(
    h('h1', { tabindex: -1 }, 'Jobs'),
    h(
      'fieldset',
      { class: 'chips' },
      h('legend', { class: 'unseen' }, 'Status'),
      ...choices.map(({ element }) => element),
    ),
    trouble.element,
    summary,
    table,
    older,
  );
  const question = async () => {
    const found = [];
    let behind = '';
    for (let page = 0; page < pages; page++) {
      const answer = await ask(`v1/jobs?limit=${pageJobs}${behind}`, { signal });
      found.push(...answer.data);
      more = answer.has_more;
      if (!more) break;
      behind = `&after=${encodeURIComponent(answer.last_id)}`;
    }
    jobs = found;
    draw();
  };
  const onTrouble = (error) => trouble.show(error === null ? null : `Not up to date: ${error.message}`);
  await poll(question, everyMs, { onTrouble, signal });
}
