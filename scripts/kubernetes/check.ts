import { z } from 'zod';
import { staleAlerts } from './alert-rules.ts';
import type { Finding, Rendered, Rule } from './finding.ts';
import { markets, staleTemplates, templateIn } from './job-template.ts';
import { applied, Manifest, nameOf, type Workload, workloadOf } from './manifest.ts';
import { access } from './rules/access.ts';
import { admission } from './rules/admission.ts';
import { network } from './rules/network.ts';
import { nodes } from './rules/nodes.ts';
import { images, lifetime, probes, resources, restricted } from './rules/pods.ts';
import { references } from './rules/references.ts';
import { scaling } from './rules/scaling.ts';
import { budgets, selectors } from './rules/selectors.ts';
import { settings } from './rules/settings.ts';
import { schemas } from './schema/index.ts';

const rules: readonly Rule[] = [
  schemas,
  restricted,
  images,
  resources,
  probes,
  lifetime,
  nodes,
  references,
  selectors,
  budgets,
  network,
  access,
  admission,
  settings,
  scaling,
];

/** Words that stand where whoever deploys puts something of their own. */
const placeholder = /sha256:0{64}|\b111122223333\b|CLUSTER_NAME|vYYYYMMDD|\/PROJECT\//g;

export interface Report {
  readonly objects: number;
  readonly findings: readonly Finding[];
  /** What is still to be filled in before this can be applied. */
  readonly placeholders: readonly string[];
}

/** Everything that can be said of an overlay without a cluster. `manifests`: as rendered, local ones among them. */
export async function check(manifests: readonly Manifest[]): Promise<Report> {
  const sent = applied(manifests);
  const templates = markets.flatMap((market) => Manifest.safeParse(templateIn(sent, market)).data ?? []);
  const workloads: Workload[] = [];
  const findings: Finding[] = [...staleTemplates(manifests), ...(await staleAlerts(sent))];
  for (const manifest of [...sent, ...templates]) {
    try {
      const workload = workloadOf(manifest);
      if (workload !== null) workloads.push(workload);
    } catch (error) {
      const text = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
      findings.push({ rule: 'shape', object: nameOf(manifest), text });
    }
  }
  const rendered: Rendered = { manifests: sent, workloads };
  for (const rule of rules) findings.push(...(await rule(rendered)));
  const placeholders = new Set(JSON.stringify(sent).match(placeholder) ?? []);
  return { objects: sent.length, findings, placeholders: [...placeholders].sort() };
}
