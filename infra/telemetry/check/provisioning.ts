import { z } from 'zod';
import { judged, type Result } from '../../../scripts/checks/report.ts';
import { readYaml } from './files.ts';

const DataSources = z.strictObject({
  apiVersion: z.literal(1),
  datasources: z.array(
    z.strictObject({
      name: z.string(),
      uid: z.string().regex(/^[a-z]+$/),
      type: z.enum(['prometheus', 'tempo']),
      access: z.literal('proxy'),
      url: z.url({ protocol: /^https?$/ }),
      isDefault: z.boolean().optional(),
      editable: z.literal(false),
      jsonData: z.record(z.string(), z.string()).optional(),
    }),
  ),
});

const Providers = z.strictObject({
  apiVersion: z.literal(1),
  providers: z.array(
    z.strictObject({
      name: z.string(),
      folder: z.string(),
      type: z.literal('file'),
      disableDeletion: z.boolean(),
      allowUiUpdates: z.literal(false),
      updateIntervalSeconds: z.int().positive(),
      options: z.strictObject({ path: z.string().startsWith('/') }),
    }),
  ),
});

/** Grafana finds its data sources and the dashboards by itself. */
export async function checkProvisioning(): Promise<Result> {
  const dir = 'infra/telemetry/grafana/provisioning';
  const sources = DataSources.safeParse(await readYaml(`${dir}/datasources/longhaul.yaml`));
  const providers = Providers.safeParse(await readYaml(`${dir}/dashboards/longhaul.yaml`));
  const faults = [sources, providers].flatMap(({ error }) => (error === undefined ? [] : [z.prettifyError(error)]));
  const found = sources.data?.datasources ?? [];
  for (const type of ['prometheus', 'tempo'] as const) {
    // The dashboards' variables choose the only one of its kind.
    const count = found.filter((source) => source.type === type).length;
    if (count !== 1) faults.push(`there are ${count} data sources of the kind ${type}, not one`);
  }
  if (found.filter(({ isDefault }) => isDefault === true).length !== 1)
    faults.push('one data source is to be the default');
  return judged('provisioning', `${found.length} data sources`, faults);
}
