import {
  attribute,
  genAi,
  http,
  type MetricDefinition,
  metric,
  prometheusName,
  spanName,
} from '@longhaul/core/telemetry';

/** Labels that every scraped series has. */
const everywhere = ['job', 'instance'];

/** What Prometheus makes by itself, with the labels that are asked of it; `*` stands for any label. */
const builtIn: Readonly<Record<string, readonly string[]>> = {
  up: everywhere,
  target_info: everywhere,
  ALERTS: ['*'],
};

/** Every series that rules and dashboards may ask for, by its name in Prometheus, with its labels. */
export function knownSeries(recorded: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const known = new Map(Object.entries(builtIn));
  for (const definition of Object.values<MetricDefinition>(metric)) {
    const labels = [...everywhere, ...definition.attributes.map(labelOf)];
    const name = prometheusName(definition);
    if (definition.kind !== 'histogram') known.set(name, labels);
    else {
      known.set(`${name}_bucket`, [...labels, 'le']);
      known.set(`${name}_sum`, labels);
      known.set(`${name}_count`, labels);
    }
  }
  // A recording rule keeps some labels of what it is made of: which ones, its own expression says.
  for (const name of recorded) known.set(name, ['*']);
  return known;
}

/** An attribute as Prometheus writes it. */
export function labelOf(key: string): string {
  return key.replaceAll(/[^a-zA-Z0-9_]/g, '_').replaceAll(/_{2,}/g, '_');
}

export const knownSpans: ReadonlySet<string> = new Set(Object.values(spanName));

export const knownAttributes: ReadonlySet<string> = new Set(
  [attribute, genAi, http].flatMap((names) => Object.values(names)),
);
