import { type Configuration, loadModules } from './configuration.ts';
import { Evaluation } from './evaluate.ts';
import type { Value } from './functions.ts';
import type { Policy } from './policy-document.ts';
import { terraformRoot } from './schema.ts';

/** Values for examples/complete: the least that it asks for, with images. */
export const exampleInputs: Readonly<Record<string, Value>> = {
  certificate_arn: 'arn:aws:acm:eu-central-1:123456789012:certificate/00000000-0000-0000-0000-000000000000',
  api_host: 'longhaul.example.com',
  api_ingress_cidrs: ['203.0.113.0/24'],
  alarm_emails: ['longhaul@example.com'],
  document_sources: ['s3://example-documents/tenants/{tenant}/'],
  image_digests: { control: `sha256:${'0'.repeat(64)}`, worker: `sha256:${'1'.repeat(64)}` },
};

export function byPath(modules: readonly Configuration[]): ReadonlyMap<string, Configuration> {
  return new Map(modules.map((module) => [module.path, module]));
}

/** examples/complete, evaluated: its child `longhaul` is the root composition. */
export function exampleDeployment(
  modules: readonly Configuration[],
  inputs: Readonly<Record<string, Value>> = exampleInputs,
): Evaluation {
  const all = byPath(modules);
  return new Evaluation(all.get('examples/complete')!, all, (name) => inputs[name]).child('longhaul');
}

export async function loadExample(): Promise<Evaluation> {
  return exampleDeployment(await loadModules(terraformRoot));
}

/** Every policy that the deployment makes: the module, the document's name and its key, and what it says. */
export interface Rendered {
  readonly where: string;
  readonly policy: Policy;
}

export function renderedPolicies(root: Evaluation): Rendered[] {
  return everyModule(root).flatMap(({ evaluation }) =>
    evaluation.module.resources
      .filter(({ kind, type }) => kind === 'data' && type === 'aws_iam_policy_document')
      .flatMap((document) => {
        const made = evaluation.resource('data', document.type, document.name);
        const single = document.body['for_each'] === undefined;
        const instances = single ? [['', made] as const] : Object.entries(made as Record<string, Value>);
        return instances.map(([key, instance]) => ({
          where: `${evaluation.path}: ${document.name}${key === '' ? '' : `["${key}"]`}`,
          policy: JSON.parse((instance as { get(name: string): Value }).get('json') as string) as Policy,
        }));
      }),
  );
}

export function policyNamed(policies: readonly Rendered[], where: string): Policy {
  const found = policies.find((one) => one.where === where);
  if (found === undefined)
    throw new Error(`there is no policy ${where}: there are ${policies.map((one) => one.where).join('; ')}`);
  return found.policy;
}

/** The module itself and all that it calls. */
export function everyModule(root: Evaluation): { readonly name: string; readonly evaluation: Evaluation }[] {
  const children = [...root.module.modules.keys()].map((name) => ({ name, evaluation: root.child(name) }));
  return [{ name: '', evaluation: root }, ...children];
}
