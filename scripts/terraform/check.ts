import { type Configuration, type Fault, loadModules } from './configuration.ts';
import { checkConventions } from './conventions.ts';
import type { Evaluation } from './evaluate.ts';
import { byPath, everyModule, exampleDeployment, renderedPolicies } from './example-deployment.ts';
import { checkPolicies } from './policies.ts';
import { checkReferences } from './references.ts';
import { checkRights, readRows } from './rights.ts';
import { checkSchema, readSchema, terraformRoot } from './schema.ts';
import { checkSettings } from './settings.ts';

export interface Checked {
  readonly name: string;
  readonly faults: readonly Fault[];
  /** How much was looked at. */
  readonly note: string;
}

/** All that needs neither terraform nor a provider nor credentials. */
export async function checkAll(): Promise<Checked[]> {
  let modules: Configuration[];
  try {
    modules = await loadModules(terraformRoot);
  } catch (error) {
    return [
      { name: 'parsing', faults: [{ check: 'parsing', where: 'terraform', text: (error as Error).message }], note: '' },
    ];
  }
  const schema = await readSchema();
  const others = byPath(modules);
  const files = modules.reduce((sum, { files }) => sum + files.length, 0);
  const resources = modules.reduce((sum, { resources }) => sum + resources.length, 0);
  const variables = modules.reduce((sum, { variables }) => sum + variables.size, 0);
  const checks: Checked[] = [
    { name: 'parsing', faults: [], note: `${files} files of ${modules.length} modules` },
    {
      name: 'conventions',
      faults: modules.flatMap(checkConventions),
      note: `${variables} variables: typed, described, validated`,
    },
    {
      name: 'schema',
      faults: modules.flatMap((one) => checkSchema(one, schema)),
      note: `${resources} resources and data sources against aws ${schema.version}`,
    },
    {
      name: 'references',
      faults: modules.flatMap((one) => checkReferences(one, others, schema)),
      note: 'names, attributes, calls of modules',
    },
  ];
  if (checks.some(({ faults }) => faults.length > 0)) return checks;
  return [...checks, ...(await checkExample(exampleDeployment(modules)))];
}

/** What examples/complete comes to: values, policies, rights and settings. */
async function checkExample(root: Evaluation): Promise<Checked[]> {
  const evaluated: Fault[] = [];
  for (const { evaluation } of everyModule(root)) {
    const attempt = (where: string, work: () => unknown) => {
      try {
        work();
      } catch (error) {
        evaluated.push({ check: 'values', where: `${evaluation.path}: ${where}`, text: (error as Error).message });
      }
    };
    attempt('variables', () => evaluation.checkVariables());
    for (const resource of evaluation.module.resources) {
      attempt(`${resource.type}.${resource.name}`, () => evaluation.configured(resource));
    }
    for (const name of evaluation.module.outputs.keys()) attempt(`output.${name}`, () => evaluation.output(name));
  }
  const values: Checked = {
    name: 'values',
    faults: evaluated,
    note: 'every expression and every validation of examples/complete',
  };
  if (evaluated.length > 0) return [values];
  const rendered = renderedPolicies(root);
  const rows = await readRows();
  const asked = rows.reduce((sum, { actions, what }) => sum + actions.length * what.length, 0);
  return [
    values,
    { name: 'policies', faults: checkPolicies(rendered), note: `${rendered.length} documents` },
    {
      name: 'rights',
      faults: checkRights(rows, rendered, root),
      note: `${asked} requests of the table in docs/iam.md`,
    },
    { name: 'settings', faults: checkSettings(root), note: 'environments of worker, controller and api' },
  ];
}
