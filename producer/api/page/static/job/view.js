import { announce } from '../announce.js';
import { ask, jobPath } from '../api.js';
import { h, setText } from '../dom.js';
import { followJob } from '../follow.js';
import { counted, percent } from '../format.js';
import { statusBadge, troubleLine } from '../parts.js';
import { poll } from '../poll.js';
import { stateGraph } from '../states/graph.js';
import { jobActions } from './actions.js';
import { jobFigures } from './figures.js';
import { outputOf } from './output.js';
import { resultFacts } from './result.js';
import { timeLine } from './time-line.js';

const statusEveryMs = 3000;

/** One job: how far it is, what happened to it, what it says, and what came of it. */
export async function jobView(root, { name: jobId, signal, again }) {
  const badge = statusBadge('queued');
  const link = troubleLine();
  const trouble = troubleLine();
  const what = h('p', { class: 'hint what' }, 'Loading…');
  const failure = h('div', { class: 'card failure', hidden: true });
  const figures = jobFigures();
  const line = timeLine();
  const actions = jobActions(jobId, again);
  const output = h('section', { class: 'card output', 'aria-labelledby': 'output-title' });
  const result = h('section', { class: 'card', 'aria-labelledby': 'result-title', hidden: true });
  const lineage = h('section', { class: 'card', 'aria-labelledby': 'lineage-title', hidden: true });
  root.append(
    h('p', { class: 'up' }, h('a', { href: '#/jobs' }, '← All jobs')),
    h('div', { class: 'title' }, h('h1', { tabindex: -1, class: 'id' }, jobId), badge.element, actions.element),
    what,
    link.element,
    trouble.element,
    failure,
    figures.element,
    h(
      'section',
      { class: 'card', 'aria-labelledby': 'line-title' },
      h('h2', { id: 'line-title' }, 'Time line'),
      line.element,
    ),
    output,
    result,
    lineage,
  );
  root.setAttribute('aria-busy', 'true');
  const spec = await ask(`ui/data/jobs/${encodeURIComponent(jobId)}`, { signal });
  root.removeAttribute('aria-busy');
  setText(what, whatText(spec));
  const shown = outputOf(spec);
  output.append(h('h2', { id: 'output-title' }, shown.title), shown.element);

  let job = null;
  let commits = -1;
  const showJob = (next) => {
    if (job !== null && job.status !== next.status) announce(`The job is ${next.status}`);
    job = next;
    badge.show(job.status, job.cancelRequested);
    actions.show(job);
    figures.showJob(job);
    failure.hidden = job.failure === null;
    if (job.failure !== null) {
      failure.replaceChildren(
        h('h2', {}, job.failure.code),
        h('p', {}, job.failure.message),
        h('p', { class: 'hint' }, adviceText(job)),
      );
    }
  };
  const refresh = async () => {
    const [next, timeline] = await Promise.all([
      ask(jobPath(jobId), { signal }),
      ask(jobPath(jobId, '/timeline'), { signal }),
    ]);
    showJob(next);
    line.show(timeline);
    const committed = timeline.marks.at(-1)?.outputCount ?? 0;
    shown.commitTo?.(committed);
  };
  const showResult = async (told) => {
    shown.end?.(told);
    result.hidden = false;
    result.replaceChildren(h('h2', { id: 'result-title' }, 'Result'), resultFacts(told));
    await refresh();
    const state = told.state?.name ?? spec.from?.name ?? null;
    if (state === null) return;
    const graph = await ask(`ui/data/states/${encodeURIComponent(state)}`, { signal }).catch(() => null);
    if (graph === null) return;
    lineage.hidden = false;
    lineage.replaceChildren(
      h('h2', { id: 'lineage-title' }, 'Lineage of the state'),
      stateGraph(graph.nodes, told.state ?? spec.from),
    );
  };
  const heard = {
    status: async () => await refresh(),
    progress: async ({ progress, estimate }) => {
      figures.showProgress(progress, estimate);
      if (progress.commits === commits) return;
      commits = progress.commits;
      await refresh();
    },
    record: ({ record, committed }) => shown.take?.(record, committed),
    notice: ({ code, text }) => link.show(code.endsWith('_away') ? text : null),
    rewind: ({ from, to }) => {
      shown.takeBack?.(to);
      announce(`Another worker goes on: ${counted(from - to, 'record')} that were not committed are written again`);
    },
    result: async ({ result: told }) => {
      announce(`The job has ended: ${told.status}, ${told.finishReason}`);
      await showResult(told);
    },
  };
  const onEvent = (kind, data) => {
    // A figure that cannot be had now comes with the next event.
    Promise.resolve(heard[kind]?.(data)).catch((error) => {
      if (!signal.aborted) trouble.show(error.message);
    });
  };
  const onLink = (why) => link.show(why === null ? null : `Not live: ${why}. Trying again…`);
  const question = async () => {
    // A job that has ended changes no more, unless somebody puts it back.
    if (job === null || job.status === 'queued' || job.status === 'running') await refresh();
  };
  const onTrouble = (error) => trouble.show(error === null ? null : `Not up to date: ${error.message}`);
  await Promise.all([
    followJob(jobId, { onEvent, onLink, signal }),
    poll(question, statusEveryMs, { onTrouble, signal }),
  ]);
}

function whatText(spec) {
  const { task, from, saveAs } = spec;
  const parts = [`${task} on ${spec.model}`];
  if (from !== null) parts.push(`from state ${from.name}${from.version === null ? '' : `@${from.version}`}`);
  if (spec.document !== null) parts.push(`· ${spec.document}`);
  if (saveAs !== null) parts.push(`· saved as ${saveAs}`);
  return parts.join(' ');
}

function adviceText({ status, committedTokens, fraction }) {
  const kept = `${counted(committedTokens, 'token')} ${committedTokens === 1 ? 'is' : 'are'} committed${fraction === null ? '' : ` (${percent(fraction)})`}`;
  return status === 'quarantined' || status === 'expired'
    ? `${kept}. Mend the cause, then redrive the job: it goes on from there.`
    : kept;
}
