import type { Spread } from '../../bench/stats.ts';
import type { Row } from './compare.ts';
import type { Measures } from './measure.ts';

type Format = (value: number) => string;

const seconds: Format = (value) =>
  value < 100 ? value.toFixed(0) : value < 6000 ? `${(value / 60).toFixed(0)} min` : `${(value / 3600).toFixed(1)} h`;
const time: Format = (value) => (value < 100 ? `${seconds(value)} s` : seconds(value));
const whole: Format = (value) => value.toFixed(0);
const share: Format = (value) => `${(value * 100).toFixed(0)} %`;
const kilo: Format = (value) => `${(value / 1000).toFixed(0)} k`;

const columns: readonly (readonly [string, keyof Measures, Format])[] = [
  ['cost, $', 'cost', (value) => value.toFixed(2)],
  ['worker-hours', 'workerHours', (value) => value.toFixed(1)],
  ['on spot', 'spotShare', share],
  ['wait p50', 'waitP50', time],
  ['wait p95', 'waitP95', time],
  ['wait p95, middle tenant', 'tenantWaitP95', time],
  ['done p50', 'completionP50', time],
  ['done p95', 'completionP95', time],
  ['GPU idle', 'idleShare', share],
  ['starts', 'starts', whole],
  ['interrupted', 'interruptions', whole],
  ['tokens read twice', 'recomputed', kilo],
  ['late', 'missedDeadlines', whole],
  ['never ended', 'unended', whole],
];

/** The median over the seeds, and behind it the least and the most where they differ in what is shown. */
function cell({ median, min, max }: Spread, format: Format): string {
  const shown = format(median);
  const [least, most] = [format(min), format(max)];
  return least === most ? shown : `${shown} (${least}–${most})`;
}

/** Those of `only`, or all columns. */
export function rowsOf(title: string, rows: readonly Row[], only?: readonly (keyof Measures)[]): string[][] {
  const shown = columns.filter(([, name]) => only === undefined || only.includes(name));
  const head = [title, ...shown.map(([name]) => name)];
  return [
    head,
    ...rows.map(({ name, measures }) => [name, ...shown.map(([, key, format]) => cell(measures[key], format))]),
  ];
}

/** Columns as rows: what is compared stands side by side. */
export function turned(rows: readonly (readonly string[])[]): string[][] {
  return (rows[0] ?? []).map((_, i) => rows.map((row) => row[i] ?? ''));
}

/** Rows of cells, the first one the titles, as a table of Markdown. */
export function markdownTable(rows: readonly (readonly string[])[]): string {
  const [head = [], ...rest] = rows;
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`;
  return [line(head), line(head.map(() => '---')), ...rest.map(line)].join('');
}
