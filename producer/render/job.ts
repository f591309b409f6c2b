import type { JobView } from '../view.ts';
import { bytes, count, duration, percent } from './format.ts';

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
    ['output', `${count(view.outputCount)} ${view.task === 'generate' ? 'tokens' : 'lines'}`],
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
  return rows.map(([name, value]) => `${name.padEnd(11)}${value}\n`).join('');
}

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
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  return [head, ...rows].map((cells) => `${line(cells)}\n`).join('');
}

function ending(view: JobView): string {
  return view.finishReason === null ? '' : ` (${view.finishReason})`;
}

function commitAge(view: JobView): string {
  if (view.lastCommitSeconds === null || view.status !== 'running') return '';
  return `, the last ${duration(view.lastCommitSeconds)} ago`;
}
