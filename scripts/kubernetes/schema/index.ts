import { z } from 'zod';
import type { Finding, Rule } from '../finding.ts';
import { type Manifest, nameOf } from '../manifest.ts';
import { isObject, type Tree } from '../tree.ts';
import { customSchema } from './custom.ts';
import { againstPublished } from './published.ts';
import { isBuiltIn, unknownBelow, unknownFields } from './unknown-fields.ts';

/** Every object against the schemas of its kind: published ones, and for what those let pass or do not have, ours. */
export const schemas: Rule = async ({ manifests, workloads }) => {
  const templates = workloads.map(({ manifest }) => manifest).filter((manifest) => !manifests.includes(manifest));
  return (await Promise.all([...manifests, ...templates].map(checked))).flat();
};

async function checked(manifest: Manifest): Promise<readonly Finding[]> {
  const object = nameOf(manifest);
  const published = await againstPublished(manifest);
  const found = [...(published ?? [])];
  if (isBuiltIn(manifest)) found.push(...unknownFields(manifest));
  const ours = customSchema(manifest.kind);
  if (ours !== null) {
    const read = ours.safeParse(manifest);
    if (!read.success) found.push({ rule: 'schema', object, text: z.prettifyError(read.error) });
  } else if (published === null) {
    found.push({ rule: 'schema', object, text: `no schema of ${manifest.apiVersion} ${manifest.kind} is known here` });
  }
  if (manifest.kind === 'ScaledJob' && isObject(manifest['spec'])) {
    const job: Tree = manifest['spec']['jobTargetRef'] ?? {};
    const unknown = unknownBelow(job, 'V1JobSpec', 'spec.jobTargetRef');
    found.push(...unknown.map((text) => ({ rule: 'unknown field', object, text })));
  }
  return found;
}
