import { judged, type Result } from '../../../scripts/checks/report.ts';
import { dashboards } from '../grafana/source/index.ts';
import { knownAttributes, knownSeries, knownSpans, knownValues } from './names.ts';
import { readPromql } from './promql.ts';
import type { Rules } from './rules.ts';

export interface Expression {
  /** Whose it is: `alert LonghaulQueueAge`, `fleet / Demand`. */
  readonly where: string;
  readonly promql: string;
}

/** Expressions of rules as they are, and those of dashboards with something in place of what a person chooses. */
export function expressionsOf({ alerts, recordings }: Pick<Rules, 'alerts' | 'recordings'>): Expression[] {
  return [
    ...alerts.map(({ alert, expr }) => ({ where: `alert ${alert}`, promql: expr })),
    ...recordings.map(({ record, expr }) => ({ where: `rule ${record}`, promql: expr })),
    ...panelExpressions(),
  ];
}

/** Of the panels and of the variables, for a rate interval of `seconds`. */
export function panelExpressions(seconds = 60): Expression[] {
  return dashboards.flatMap(({ name, rows, variables }) => [
    ...rows.flatMap(({ panels }) =>
      panels.flatMap(({ title, targets }) =>
        targets.flatMap((target) =>
          'promql' in target ? [{ where: `${name} / ${title}`, promql: chosen(target.promql, seconds) }] : [],
        ),
      ),
    ),
    ...variables.flatMap((variable) =>
      variable.kind === 'label' ? [{ where: `${name} / $${variable.name}`, promql: variable.metric }] : [],
    ),
  ]);
}

/** As Grafana fills in its variables. */
function chosen(promql: string, seconds: number): string {
  return promql
    .replaceAll('$__rate_interval', `${seconds}s`)
    .replaceAll('$__range', `${seconds}s`)
    .replaceAll(/\$price_\w+/g, '1')
    .replaceAll(/"\$\w+"/g, '".*"');
}

/** Each metric and each label that is asked for is one that longhaul records; each metric that it records is asked for. */
export function checkNames(rules: Rules): Result {
  const known = knownSeries(rules.recordings.map(({ record }) => record));
  const made = rules.testSeries.map((promql) => ({ where: 'alerts.test.yaml', promql }));
  const expressions = [...expressionsOf(rules), ...made];
  const faults = expressions.flatMap(({ where, promql }) =>
    unknownIn(promql, known).map((fault) => `${where}: ${fault}`),
  );
  const askedFor = new Set(
    expressionsOf(rules).flatMap(({ promql }) => readPromql(promql).selectors.map(({ metric }) => plainName(metric))),
  );
  for (const name of new Set([...knownSeries([]).keys()].map(plainName))) {
    if (!askedFor.has(name)) faults.push(`${name} is in no rule and on no dashboard`);
  }
  return judged('metric names', `${expressions.length} expressions and series`, [...new Set(faults)]);
}

/** Of a histogram, without what tells its series apart. */
const plainName = (series: string) => series.replace(/_(bucket|sum|count)$/, '');

/** What an expression asks for that is not there, each in words. */
export function unknownIn(promql: string, known: ReadonlyMap<string, readonly string[]>): string[] {
  const { selectors, grouping } = readPromql(promql);
  const faults: string[] = [];
  const all = new Set<string>();
  for (const { metric, matchers } of selectors) {
    for (const { label, value } of matchers) {
      const values = knownValues[label];
      // A pattern that is more than a list of words is none of ours.
      if (values === undefined || !/^[\w|-]+$/.test(value)) continue;
      for (const one of value.split('|').filter((word) => !values.includes(word))) {
        faults.push(`${metric}: ${label} is never ${one}`);
      }
    }
    const its = known.get(metric);
    if (its === undefined) faults.push(`no process records ${metric}`);
    for (const label of its ?? ['*']) all.add(label);
    if (its === undefined || its.includes('*')) continue;
    for (const { label } of matchers) if (!its.includes(label)) faults.push(`${metric} has no label ${label}`);
  }
  for (const label of grouping) {
    if (!all.has(label) && !all.has('*')) faults.push(`groups by ${label}, which none of its metrics has`);
  }
  return faults;
}

/** Each span and each attribute that a dashboard asks the store of traces for is one that longhaul tells. */
export function checkTraces(): Result {
  const queries = dashboards.flatMap(({ name, rows }) =>
    rows.flatMap(({ panels }) =>
      panels.flatMap(({ title, targets }) =>
        targets.flatMap((target) =>
          'traceql' in target ? [{ where: `${name} / ${title}`, traceql: target.traceql }] : [],
        ),
      ),
    ),
  );
  const faults = queries.flatMap(({ where, traceql }) => [
    ...[...traceql.matchAll(/span\.([\w.]+)/g)]
      .filter(([, key]) => !knownAttributes.has(key!))
      .map(([, key]) => `${where}: no span has the attribute ${key}`),
    ...[...traceql.matchAll(/name =~? "([^"]+)"/g)]
      .filter(([, pattern]) => ![...knownSpans].some((span) => new RegExp(`^(?:${pattern})$`).test(span)))
      .map(([, pattern]) => `${where}: no span is called ${pattern}`),
  ]);
  return judged('trace names', `${queries.length} queries for traces`, faults);
}
