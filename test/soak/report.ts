import type { HistoryChecker, Violation } from './history.ts';
import type { JobCounts } from './jobs.ts';

export interface SoakReport {
  readonly seed: number;
  readonly minutes: number;
  readonly workers: number;
  readonly store: 's3' | 'file';
  /** Faults that have bitten, by kind. */
  readonly faults: Readonly<Record<string, number>>;
  readonly total: number;
  readonly jobs: JobCounts;
  readonly commits: number;
  readonly refusedWrites: number;
  readonly workersStarted: number;
  readonly takeovers: { readonly fromLost: number; readonly handedBack: number };
  /** Each with its count, null where nothing was measured. */
  readonly recomputedPerLostWorker: Quantiles;
  readonly resumeMs: Quantiles;
  readonly flushMs: Quantiles;
  readonly attemptEnds: Readonly<Record<string, number>>;
  readonly quarantined: readonly string[];
  readonly crashes: readonly string[];
  readonly unfinished: readonly string[];
  readonly violations: readonly Violation[];
}

export interface Quantiles {
  readonly count: number;
  readonly p50: number | null;
  readonly p99: number | null;
  readonly most: number | null;
}

export function quantiles(values: readonly number[]): Quantiles {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q: number) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? null;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), most: sorted.at(-1) ?? null };
}

export function takeoverFigures({ takeovers }: HistoryChecker) {
  const lost = takeovers.filter(({ handedBack }) => !handedBack);
  const committed = takeovers.filter(({ firstCommitAt }) => firstCommitAt !== null);
  return {
    takeovers: { fromLost: lost.length, handedBack: takeovers.length - lost.length },
    recomputedPerLostWorker: quantiles(
      lost.filter(({ firstCommitAt }) => firstCommitAt !== null).map(({ recomputedTokens }) => recomputedTokens),
    ),
    resumeMs: quantiles(committed.map(({ at, firstCommitAt }) => firstCommitAt! - at)),
  };
}

const countOf = (report: SoakReport, ...kinds: readonly Violation['kind'][]) =>
  report.violations.filter(({ kind }) => kinds.includes(kind)).length;

export function failed(report: SoakReport): boolean {
  const { violations, quarantined, crashes, unfinished } = report;
  return violations.length + quarantined.length + crashes.length + unfinished.length > 0 || report.jobs.done === 0;
}

/** One markdown table. */
export function markdown(report: SoakReport): string {
  const { jobs } = report;
  const n = (value: number | null) => (value === null ? '–' : Math.round(value).toLocaleString('en'));
  const spread = ({ count, p50, p99, most }: Quantiles, unit: string) =>
    `median ${n(p50)}, p99 ${n(p99)}, most ${n(most)} ${unit} (of ${n(count)})`;
  const others = report.violations.length - countOf(report, 'record_repeated', 'record_lost', 'zombie_commit');
  const ends = Object.entries(report.attemptEnds).sort(([, a], [, b]) => b - a);
  const rows: [string, string][] = [
    ['seed, workers, store', `${report.seed}, ${report.workers}, ${report.store}`],
    ['minutes', report.minutes.toFixed(1)],
    ...Object.entries(report.faults).map(([kind, count]): [string, string] => [kind, n(count)]),
    ['**faults that bit**', `**${n(report.total)}**`],
    ['jobs done, tokens, records read', `${n(jobs.done)}, ${n(jobs.tokens)}, ${n(jobs.records)}`],
    ['records first read from the live stream', n(jobs.liveRecords)],
    ['reconnections of readers; rewinds of uncommitted records', `${n(jobs.reconnects)}; ${n(jobs.rewinds)}`],
    ['attempts a job', jobs.done === 0 ? '–' : (jobs.attempts / jobs.done).toFixed(1)],
    ['commits; conditional writes refused', `${n(report.commits)}; ${n(report.refusedWrites)}`],
    [
      'takeovers from lost workers; of jobs handed back',
      `${n(report.takeovers.fromLost)}; ${n(report.takeovers.handedBack)}`,
    ],
    ['worker processes started', n(report.workersStarted)],
    ['tokens run again after a lost worker', spread(report.recomputedPerLostWorker, 'tokens')],
    ['takeover to the first commit', spread(report.resumeMs, 'ms')],
    ['SIGTERM to exit, the world whole', spread(report.flushMs, 'ms')],
    ['how attempts ended early', ends.map(([name, count]) => `${name} ${n(count)}`).join(', ') || '–'],
    ['**duplicates**', `**${countOf(report, 'record_repeated')}**`],
    ['**losses**', `**${countOf(report, 'record_lost')}**`],
    ['**zombie commits**', `**${countOf(report, 'zombie_commit')}**`],
    ['other violations', n(others)],
    ['quarantined', n(report.quarantined.length)],
    ['workers that ended by themselves', n(report.crashes.length)],
    ['jobs that did not end', n(report.unfinished.length)],
  ];
  return ['| | |', '|---|---|', ...rows.map(([name, value]) => `| ${name} | ${value} |`), ''].join('\n');
}
