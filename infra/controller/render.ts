import type { DemandRecord } from './demand.ts';

/** The demand as a table, a model a line. */
export function demandText({ models }: DemandRecord): string {
  const head = ['MODEL', 'DEMAND', 'WAITING', 'PRIORITIZED', 'DUE SOON', 'DUE LATER', 'HELD', 'ORPHANED'];
  const rows = models.map((m) => [
    m.model,
    ...[m.demand, m.waiting, m.prioritized, m.delayedDue, m.delayedLater, m.held, m.orphaned].map(String),
  ]);
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  return [head, ...rows].map((cells) => `${line(cells)}\n`).join('');
}
