import type { JobView } from '../view.ts';
import { bytes, count, duration, percent } from './format.ts';
import { table } from './table.ts';

/** One job, a figure a line. */
export function jobText(view: JobView): string {
  const rows: [string, string][] = [
    ['job', view.jobId],
    ['status', `${view.status}${view.cancelRequested ? ' (cancel requested)' : ''}${ending(view)}`],
    ['task', `${view.task} on ${view.model}`],
    ['created', view.createdAt],
    ['attempts', `${view.attempts}${view.worker === null ? '' : `, now on ${view.worker}`}`],
    ['tokens', `${count(view.tokens)}${view.inputTokens === null ? '' : ` (input ${count(view.inputTokens)})`}`],
    ['committed', `${count(view.committedTokens)} tokens in ${count(view.commits)} commits${commitAge(view)}`],
    ['output', `${count(view.outputCount)} ${outputUnit[view.task]}`],
  ];
  if (view.bytes > 0 || view.totalBytes !== null) {
    rows.push([
      'bytes',
      view.totalBytes === null ? bytes(view.bytes) : `${bytes(view.bytes)} of ${bytes(view.totalBytes)}`,
    ]);
  }
  if (view.tokensPerSecond !== null) {
    const phase = view.phase === null ? '' : `, ${percent(view.fraction)} of the ${view.phase} phase`;
    rows.push(['speed', `${count(view.tokensPerSecond)} tokens/s${phase}, ETA ${duration(view.etaSeconds)}`]);
  }
  if (view.recomputedTokens > 0) rows.push(['read twice', `${count(view.recomputedTokens)} tokens`]);
  if (view.failure !== null) rows.push(['failure', `${view.failure.code}: ${view.failure.message}`]);
  const next = nextStep(view.jobId, view.status);
  if (next !== null) rows.push(['next', next]);
  return rows.map(([name, value]) => `${name.padEnd(11)}${value}\n`).join('');
}

const outputUnit: Readonly<Record<JobView['task'], string>> = {
  generate: 'tokens',
  score: 'lines',
  ask: 'answers',
  ingest: 'records',
  append: 'records',
};

/** Jobs as a table, in the order given. */
export function jobTable(views: readonly JobView[]): string {
  const head = ['JOB', 'STATUS', 'TASK', 'MODEL', 'COMMITTED', 'OUTPUT', 'DONE', 'TOKENS/S', 'ETA', 'ATTEMPTS'];
  const rows = views.map((view) => [
    view.jobId,
    view.cancelRequested ? `${view.status}, cancel` : view.status,
    view.task,
    view.model,
    count(view.committedTokens),
    count(view.outputCount),
    view.status === 'running' ? percent(view.fraction) : '-',
    view.tokensPerSecond === null ? '-' : count(view.tokensPerSecond),
    view.status === 'running' ? duration(view.etaSeconds) : '-',
    String(view.attempts),
  ]);
  return table([head, ...rows]);
}

/** Characters of a reason in a table; `longhaul status JOB` tells the whole. */
const reasonChars = 72;

/** Jobs with what stopped them, in the order given. */
export function jobReasonTable(views: readonly JobView[]): string {
  const head = ['JOB', 'STATUS', 'TASK', 'PROGRESS', 'ATTEMPTS', 'REASON'];
  const rows = views.map((view) => [
    view.jobId,
    view.cancelRequested ? `${view.status}, cancel` : view.status,
    view.task,
    view.fraction === null ? `${count(view.committedTokens)} tokens` : percent(view.fraction),
    String(view.attempts),
    reason(view),
  ]);
  return table([head, ...rows]);
}

function reason({ failure }: JobView): string {
  if (failure === null) return '-';
  const text = `${failure.code}: ${failure.message}`.replaceAll(/\s+/g, ' ');
  return text.length <= reasonChars ? text : `${text.slice(0, reasonChars - 1)}…`;
}

/** What a person does about a job that ended without an answer; null where there is nothing to do. */
export function nextStep(jobId: string, status: JobView['status']): string | null {
  switch (status) {
    case 'quarantined':
      return `mend the cause, then \`longhaul redrive ${jobId}\`: it goes on from its checkpoint`;
    case 'expired':
      return `\`longhaul redrive ${jobId}\` goes on from its checkpoint`;
    default:
      return null;
  }
}

function ending(view: JobView): string {
  return view.finishReason === null ? '' : ` (${view.finishReason})`;
}

function commitAge(view: JobView): string {
  if (view.lastCommitSeconds === null || view.status !== 'running') return '';
  return `, the last ${duration(view.lastCommitSeconds)} ago`;
}
