import type { Finding, Rule } from '../finding.ts';
import { type Manifest, nameOf } from '../manifest.ts';
import { listOf, objectOf, objectsOf } from '../tree.ts';

/** All that may ever be done in a cluster by a process of ours: resource and verb. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  'longhaul-worker': ['/pods get'],
  'longhaul-controller': ['batch/jobs create', 'batch/jobs get', 'batch/jobs list', '/pods list'],
};

const texts = (tree: unknown) => listOf(tree).map(String);

/** Rights are the table's and no more, in namespaces alone, and tokens are mounted where there is a right to use. */
export const access: Rule = ({ manifests, workloads }) => {
  const found: Finding[] = [];
  const say = (object: string, text: string) => found.push({ rule: 'access', object, text });
  for (const manifest of manifests) {
    if (manifest.kind.startsWith('ClusterRole')) say(nameOf(manifest), 'rights are given in a namespace alone');
    if (manifest.kind === 'Role') for (const text of tooMuch(manifest)) say(nameOf(manifest), text);
    if (manifest.kind === 'RoleBinding') for (const text of unbound(manifest, manifests)) say(nameOf(manifest), text);
  }
  const bound = new Set(
    manifests
      .filter(({ kind }) => kind === 'RoleBinding')
      .flatMap(({ subjects }) => listOf(subjects))
      .map((subject) => String(objectOf(subject)['name'])),
  );
  for (const { name, pod } of workloads) {
    const account = pod.serviceAccountName ?? 'default';
    if (account === 'default') say(name, 'has no ServiceAccount of its own');
    const mounted = pod.automountServiceAccountToken ?? true;
    if (mounted !== bound.has(account)) {
      say(
        name,
        mounted ? `mounts a token of ${account}, which has no right` : `mounts no token for the rights of ${account}`,
      );
    }
  }
  return found;
};

function* tooMuch(role: Manifest): Generator<string> {
  const table = allowed[role.metadata.name] ?? [];
  for (const rule of objectsOf(role['rules'])) {
    for (const group of texts(rule['apiGroups'])) {
      for (const resource of texts(rule['resources'])) {
        for (const verb of texts(rule['verbs'])) {
          const right = `${group}/${resource} ${verb}`;
          if ([group, resource, verb].includes('*')) yield `${right}: a wildcard`;
          else if (!table.includes(right)) yield `${right}: is not among what this role may do`;
        }
      }
    }
  }
}

function* unbound(binding: Manifest, manifests: readonly Manifest[]): Generator<string> {
  const role = String(objectOf(binding['roleRef'])['name']);
  if (!manifests.some(({ kind, metadata }) => kind === 'Role' && metadata.name === role))
    yield `there is no Role/${role}`;
  for (const subject of listOf(binding['subjects'])) {
    const { kind, name, namespace } = objectOf(subject);
    const there = manifests.some(
      (one) => one.kind === kind && one.metadata.name === name && one.metadata.namespace === namespace,
    );
    if (!there) yield `there is no ${String(kind)}/${String(name)} in ${String(namespace)}`;
  }
}
