import { type Batch, batchObject } from '@longhaul/core/batches';
import { count, duration } from './format.ts';
import { table } from './table.ts';

/** Batches as a table, in the order given. */
export function batchTable(batches: readonly Batch[]): string {
  const rows = batches.map(({ spec, head }) => {
    const { request_counts: lines } = batchObject(spec, head);
    return [spec.id, statusOf(head), count(lines.total), count(lines.completed), count(lines.failed), spec.createdAt];
  });
  return table([['BATCH', 'STATUS', 'LINES', 'DONE', 'FAILED', 'CREATED'], ...rows]);
}

/** One batch, a figure a line. */
export function batchText({ spec, head }: Batch, now: Date): string {
  const told = batchObject(spec, head);
  const { total, completed, failed } = told.request_counts;
  const left = (Date.parse(head.expiresAt) - now.getTime()) / 1000;
  const rows: [string, string][] = [
    ['batch', spec.id],
    ['status', statusOf(head)],
    [
      'lines',
      head.total === null ? 'not counted yet' : `${count(completed)} done, ${count(failed)} failed, of ${count(total)}`,
    ],
    ['created', spec.createdAt],
    ['deadline', `${head.expiresAt}${left > 0 ? `, in ${duration(left)}` : ''}`],
    ['order', spec.order],
    ['tokens', `${count(told.usage.input_tokens)} read, ${count(told.usage.output_tokens)} written`],
    ['work', `${count(head.busySeconds)} seconds of workers`],
  ];
  const { cost } = told.longhaul;
  if (cost !== null) {
    rows.push(['cost', `$${cost.dollars.toFixed(2)} of $${cost.max_dollars} at $${cost.dollars_per_hour} an hour`]);
  }
  rows.push(['input', spec.inputFileId]);
  if (head.outputFileId !== null) rows.push(['output', head.outputFileId]);
  if (head.errorFileId !== null) rows.push(['errors', head.errorFileId]);
  if (head.trouble !== null) rows.push(['trouble', `${head.trouble.code}: ${head.trouble.message}`]);
  for (const { line, message } of head.lineErrors)
    rows.push(['wrong', `${line === null ? '' : `line ${line}: `}${message}`]);
  const more = head.lineErrorCount - head.lineErrors.length;
  if (more > 0) rows.push(['wrong', `and ${count(more)} more`]);
  const next = nextStep(spec.id, head.status);
  if (next !== null) rows.push(['next', next]);
  return rows.map(([name, value]) => `${name.padEnd(10)}${value}\n`).join('');
}

function statusOf({ status, pauseReason }: Batch['head']): string {
  return pauseReason === 'max_cost' ? `${status}: its cost limit is reached` : status;
}

function nextStep(id: string, status: Batch['head']['status']): string | null {
  if (status === 'expired') return `\`longhaul batch resume ${id} --deadline 24h\` runs the lines that are left`;
  if (status === 'paused') return `\`longhaul batch resume ${id}\` goes on`;
  if (status === 'failed') return 'mend the lines, then submit the file again';
  return null;
}
