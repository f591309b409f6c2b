import { type MetricDefinition, metric, prometheusName } from '@longhaul/core/telemetry';
import { judged, type Result } from '../../../scripts/checks/report.ts';
import { dashboards } from '../grafana/source/index.ts';
import { readText } from './files.ts';
import { readPromql } from './promql.ts';
import type { Rules } from './rules.ts';

/**
 * What a worker records as it leaves. No scrape comes after that, and of a notice to leave only where the drain outlasts an
 * interval; by OTLP both arrive, since a process sends what is left before it ends.
 */
const asItLeaves: readonly MetricDefinition[] = [metric.preemptions, metric.flushSeconds];

/** An expression with the words that stand beside it for whoever reads it. */
export interface Told {
  readonly where: string;
  readonly promql: string;
  readonly words: string;
}

/** Whoever asks for what no scrape sees says so: an alert and its entry of the runbook, and a panel. */
export async function checkLeaving({ alerts }: Pick<Rules, 'alerts'>): Promise<Result> {
  const entries = (await readText('docs/runbook.md')).split(/^### /m);
  const told: Told[] = [
    ...alerts.flatMap(({ alert, expr, annotations }) => [
      { where: `alert ${alert}`, promql: expr, words: annotations.description },
      {
        where: `docs/runbook.md: "### ${alert}"`,
        promql: expr,
        words: entries.find((entry) => entry.startsWith(`${alert}\n`)) ?? '',
      },
    ]),
    ...dashboards.flatMap(({ name, rows }) =>
      rows.flatMap(({ panels }) =>
        panels.map(({ title, asks, targets }) => ({
          where: `${name} / ${title}`,
          promql: targets.flatMap((target) => ('promql' in target ? [target.promql] : [])).join(' + '),
          words: asks,
        })),
      ),
    ),
  ];
  return judged('what no scrape sees', `${asItLeaves.length} metrics`, silentAbout(told));
}

/** Who asks for a metric that a worker records as it leaves, and does not say that it comes by OTLP alone. */
export function silentAbout(told: readonly Told[]): string[] {
  return told.flatMap(({ where, promql, words }) => {
    const series = readPromql(promql).selectors.map(({ metric: name }) => name.replace(/_(bucket|sum|count)$/, ''));
    const found = asItLeaves.map(prometheusName).filter((name) => series.includes(name));
    return words.includes('by OTLP alone')
      ? []
      : found.map((name) => `${where} asks for ${name}, and does not say that it arrives "by OTLP alone"`);
  });
}
