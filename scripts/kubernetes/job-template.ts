import { isDeepStrictEqual } from 'node:util';
import { stringify } from 'yaml';
import type { Finding } from './finding.ts';
import { isLocal, type Manifest, nameOf } from './manifest.ts';
import { templateIn } from './rules/scaling.ts';

/**
 * The Job that the controller makes workers from is the one that the overlay says, written down: kustomize cannot put an object into a
 * ConfigMap as text.
 */
export function jobTemplateOf(manifests: readonly Manifest[]): Manifest | null {
  const job = manifests.find((manifest) => manifest.kind === 'Job' && isLocal(manifest));
  if (job === undefined) return null;
  const { annotations: _, ...metadata } = job.metadata;
  return { ...job, metadata };
}

export function jobTemplateText(manifests: readonly Manifest[]): string | null {
  const template = jobTemplateOf(manifests);
  if (template === null) return null;
  return `# Written by \`npm run check:kubernetes -- --write\` from worker/job.yaml and what this overlay changes of it. Not to be edited.
${stringify(template, { lineWidth: 0, aliasDuplicateObjects: false })}`;
}

/** Whether the written template is what the overlay says today. */
export function staleTemplate(manifests: readonly Manifest[]): readonly Finding[] {
  const written = templateIn(manifests);
  const wanted = jobTemplateOf(manifests);
  if (written === null || wanted === null || isDeepStrictEqual(written, wanted)) return [];
  const text =
    'job-template.yaml is not what worker/job.yaml and the overlay say: run npm run check:kubernetes -- --write';
  return [{ rule: 'job template', object: nameOf(wanted), text }];
}
