import {
  attribute,
  type countSwept,
  type countWebhook,
  genAi,
  http,
  type MetricDefinition,
  metric,
  outcomes,
  prometheusName,
  queuePlaces,
  spanName,
  startPhases,
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

/** What is said of a webhook, and by a sweep. */
const results: readonly (Parameters<typeof countWebhook>[0] | Parameters<typeof countSwept>[0])[] = [
  'delivered',
  'failed',
  'gone',
  'rung',
  'ended',
  'removed',
  'reaped',
];

/** Values of the labels that have a few known ones. */
export const knownValues: Readonly<Record<string, readonly string[]>> = {
  job: ['longhaul-worker', 'longhaul-controller', 'longhaul-api'],
  [labelOf(attribute.market)]: ['spot', 'on-demand', 'local'],
  [labelOf(attribute.outcome)]: outcomes,
  [labelOf(attribute.phase)]: startPhases,
  [labelOf(attribute.place)]: queuePlaces,
  [labelOf(attribute.result)]: results,
  [labelOf(attribute.state)]: ['starting', 'running'],
};

export const knownSpans: ReadonlySet<string> = new Set(Object.values(spanName));

export const knownAttributes: ReadonlySet<string> = new Set(
  [attribute, genAi, http].flatMap((names) => Object.values(names)),
);
