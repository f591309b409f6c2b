import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import type { Finding } from './finding.ts';
import { type Manifest, nameOf } from './manifest.ts';
import { RuleGroups } from './schema/custom.ts';

const root = path.resolve(import.meta.dirname, '../..');
const source = path.join(root, 'infra', 'telemetry', 'alerts.yaml');

const Alerts = z.strictObject({ groups: RuleGroups });

async function ruleOf(): Promise<Manifest> {
  const { groups } = Alerts.parse(parse(await readFile(source, 'utf8')));
  return {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: 'longhaul', namespace: 'longhaul', labels: { 'app.kubernetes.io/part-of': 'longhaul' } },
    spec: { groups },
  };
}

/** The alerts of `infra/telemetry/alerts.yaml` as the Prometheus operator takes them. */
export const alertRules = {
  file: path.join(root, 'infra', 'kubernetes', 'components', 'monitoring', 'rules.yaml'),
  async text(): Promise<string> {
    return `# Written by \`npm run check:kubernetes -- --write\` from infra/telemetry/alerts.yaml. Not to be edited.
${stringify(await ruleOf(), { lineWidth: 0 })}`;
  },
} as const;

/** Whether the written rules are those of today. */
export async function staleAlerts(manifests: readonly Manifest[]): Promise<readonly Finding[]> {
  const written = manifests.find(({ kind, metadata }) => kind === 'PrometheusRule' && metadata.name === 'longhaul');
  if (written === undefined || isDeepStrictEqual(written, await ruleOf())) return [];
  const text = 'is not infra/telemetry/alerts.yaml: run npm run check:kubernetes -- --write';
  return [{ rule: 'alerts', object: nameOf(written), text }];
}
