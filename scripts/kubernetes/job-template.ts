import { isDeepStrictEqual } from 'node:util';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import type { Finding } from './finding.ts';
import { isLocal, Manifest, nameOf } from './manifest.ts';
import { patched } from './merge.ts';
import { isObject, type Tree } from './tree.ts';

export const markets = ['spot', 'on-demand'] as const;
export type Market = (typeof markets)[number];

/** Where the controller finds the Jobs that it starts workers from. */
export const templateMap = 'longhaul-job-template';
export const templateFile = { spot: 'job-template.yaml', 'on-demand': 'job-template-on-demand.yaml' } as const;

const Nodes = z.record(z.string(), z.string().nullable());

/**
 * The Job that the controller makes workers of a market from: the one that the overlay says, on the nodes that the annotation
 * `longhaul.dev/MARKET-nodes` adds to its node selector (null takes one away). Written down, because kustomize cannot put an object
 * into a ConfigMap as text.
 */
export function jobTemplateOf(manifests: readonly Manifest[], market: Market): Manifest | null {
  const job = manifests.find((manifest) => manifest.kind === 'Job' && isLocal(manifest));
  if (job === undefined) return null;
  const { annotations = {}, name, ...metadata } = job.metadata;
  const nodeSelector = Nodes.parse(JSON.parse(annotations[`longhaul.dev/${market}-nodes`] ?? '{}'));
  const placed = Object.keys(nodeSelector).length === 0 ? {} : { spec: { template: { spec: { nodeSelector } } } };
  const named = { name: market === 'spot' ? name : `${name}-${market}`, ...metadata };
  return patched(Manifest.parse({ ...job, metadata: named }), placed);
}

export function jobTemplateText(manifests: readonly Manifest[], market: Market): string | null {
  const template = jobTemplateOf(manifests, market);
  if (template === null) return null;
  return `# Written by \`npm run check:kubernetes -- --write\` from worker/job.yaml and what this overlay changes of it. Not to be edited.
${stringify(template, { lineWidth: 0, aliasDuplicateObjects: false })}`;
}

/** Whether the written templates are what the overlay says today. */
export function staleTemplates(manifests: readonly Manifest[]): readonly Finding[] {
  return markets.flatMap((market) => {
    const written = templateIn(manifests, market);
    const wanted = jobTemplateOf(manifests, market);
    if (written === null || wanted === null || isDeepStrictEqual(written, wanted)) return [];
    const text = `${templateFile[market]} is not what worker/job.yaml and the overlay say: run npm run check:kubernetes -- --write`;
    return [{ rule: 'job template', object: nameOf(wanted), text }];
  });
}

/** The Job that the controller starts a worker of this market from, out of its ConfigMap. Null: there is none. */
export function templateIn(manifests: readonly Manifest[], market: Market): Tree | null {
  const found = manifests.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === templateMap);
  const data = found?.['data'];
  const text = isObject(data) ? data[templateFile[market]] : undefined;
  return typeof text === 'string' ? (parse(text) as Tree) : null;
}
