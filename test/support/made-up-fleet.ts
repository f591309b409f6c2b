import { attribute, genAi, http, type MetricDefinition, metric, prometheusName } from '@longhaul/core/telemetry';
import { labelOf } from '../../infra/telemetry/check/names.ts';
import type { Series } from './exporter.ts';

/** Values of the labels, where it matters which ones there are. */
const values: Readonly<Record<string, readonly string[]>> = {
  [attribute.model]: ['m'],
  [attribute.place]: ['waiting', 'orphaned'],
  [attribute.market]: ['spot', 'on-demand'],
  [attribute.result]: ['delivered', 'failed'],
  [genAi.tokenType]: ['input', 'output'],
  [genAi.requestModel]: ['m'],
  [http.status]: ['200', '503'],
};

/**
 * Every metric that there is, with every label that it has, as processes would show them after so many steps: counters and
 * histograms grow by ten a step, gauges are 1.
 */
export function madeUpFleet(steps: number): Series {
  const series: Record<string, number> = {};
  for (const definition of Object.values<MetricDefinition>(metric)) {
    const name = prometheusName(definition);
    for (const labels of combinations(definition.attributes)) {
      const grown = 10 * steps;
      if (definition.kind === 'gauge') series[written(name, labels)] = 1;
      else if (definition.kind === 'counter') series[written(name, labels)] = grown;
      else {
        for (const bound of [...(definition.buckets ?? []), '+Inf']) {
          series[written(`${name}_bucket`, { ...labels, le: String(bound) })] = grown;
        }
        series[written(`${name}_sum`, labels)] = grown;
        series[written(`${name}_count`, labels)] = grown;
      }
    }
  }
  return series;
}

function combinations(attributes: readonly string[]): Record<string, string>[] {
  return attributes.reduce<Record<string, string>[]>(
    (sets, key) => sets.flatMap((set) => (values[key] ?? ['some']).map((value) => ({ ...set, [labelOf(key)]: value }))),
    [{}],
  );
}

function written(name: string, labels: Readonly<Record<string, string>>): string {
  const inside = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return inside.length === 0 ? name : `${name}{${inside.join(',')}}`;
}
