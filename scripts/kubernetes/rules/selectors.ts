import type { Finding, Rule } from '../finding.ts';
import { type Manifest, nameOf, specOf, type Workload } from '../manifest.ts';
import { isObject, objectsOf, type Tree } from '../tree.ts';

type Labels = Readonly<Record<string, string>>;

/** Whether a label selector takes these labels; an empty one takes everything. */
export function selects(selector: Tree | undefined, labels: Labels): boolean {
  if (!isObject(selector)) return false;
  const { matchLabels = {}, matchExpressions = [] } = selector;
  if (!isObject(matchLabels) || !Array.isArray(matchExpressions)) return false;
  const equal = Object.entries(matchLabels).every(([key, value]) => labels[key] === value);
  return equal && matchExpressions.every((one) => isObject(one) && expressed(one, labels));
}

function expressed({ key, operator, values }: Record<string, Tree>, labels: Labels): boolean {
  const found = labels[String(key)];
  const listed = Array.isArray(values) && values.includes(found ?? '');
  switch (operator) {
    case 'In':
      return found !== undefined && listed;
    case 'NotIn':
      return !listed;
    case 'Exists':
      return found !== undefined;
    default:
      return found === undefined;
  }
}

const selectorPlaces: Readonly<Record<string, (spec: Record<string, Tree>) => Tree | undefined>> = {
  Service: ({ selector }) => (isObject(selector) ? { matchLabels: selector } : undefined),
  PodDisruptionBudget: ({ selector }) => selector,
  NetworkPolicy: ({ podSelector }) => podSelector,
  PodMonitor: ({ selector }) => selector,
};

/** Whatever selects pods finds some, of its own namespace. */
export const selectors: Rule = ({ manifests, workloads }) => {
  const found: Finding[] = [];
  const say = (object: string, text: string) => found.push({ rule: 'selectors', object, text });
  for (const { name, selector, labels } of workloads) {
    if (selector !== null && !selects({ matchLabels: { ...selector } }, labels))
      say(name, 'does not select its own pods');
  }
  for (const manifest of manifests) {
    const place = selectorPlaces[manifest.kind];
    const spec = manifest['spec'];
    if (place === undefined || !isObject(spec)) continue;
    const selector = place(spec);
    const chosen = workloads.filter(
      ({ labels, namespace }) => namespace === manifest.metadata.namespace && selects(selector, labels),
    );
    if (chosen.length === 0) say(nameOf(manifest), 'selects no pod');
    for (const text of portsMissing(manifest, spec, chosen)) say(nameOf(manifest), text);
  }
  return found;
};

/** Ports that a Service or a monitor names, and that a pod which it selects does not have. */
function portsMissing({ kind }: Manifest, spec: Record<string, Tree>, chosen: readonly Workload[]): readonly string[] {
  const list = kind === 'Service' ? spec['ports'] : kind === 'PodMonitor' ? spec['podMetricsEndpoints'] : [];
  const named = objectsOf(list).map(({ port, targetPort }) => targetPort ?? port);
  return chosen.flatMap(({ name, pod }) =>
    named
      .filter((port) => !pod.containers.some((c) => c.ports.some((p) => p.name === port || p.containerPort === port)))
      .map((port) => `names the port ${String(port)}, which ${name} does not have`),
  );
}

/** A Job's pods have no scale: of a budget over them only a number of `minAvailable` is understood. */
export const budgets: Rule = ({ manifests, workloads }) =>
  manifests
    .filter(({ kind }) => kind === 'PodDisruptionBudget')
    .flatMap((manifest) => {
      const spec = specOf(manifest);
      const object = nameOf(manifest);
      const chosen = workloads.filter(({ labels }) => selects(spec['selector'], labels));
      if (chosen.some(({ job }) => job !== null) && typeof spec['minAvailable'] !== 'number') {
        return [{ rule: 'budgets', object, text: 'is over pods of Jobs, and minAvailable is no number' }];
      }
      return [];
    })
    .concat(
      workloads
        .filter(({ labels }) => (labels['app.kubernetes.io/name'] ?? '').startsWith('longhaul-'))
        .filter(({ labels }) => !manifests.some((one) => isBudgetOf(one, labels)))
        .map(({ name }) => ({ rule: 'budgets', object: name, text: 'has no PodDisruptionBudget' })),
    );

function isBudgetOf({ kind, spec }: Manifest, labels: Labels): boolean {
  return kind === 'PodDisruptionBudget' && isObject(spec) && selects(spec['selector'] as Tree, labels);
}
