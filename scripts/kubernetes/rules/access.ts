import type { Finding, Rule } from '../finding.ts';
import { type Manifest, nameOf } from '../manifest.ts';
import { listOf, objectOf, objectsOf } from '../tree.ts';

/** All that may ever be done in a cluster by a process of ours, by its ServiceAccount: resource and verb. */
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
    if (manifest.kind === 'Role') for (const text of tooMuch(manifest, manifests)) say(nameOf(manifest), text);
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

/** Rights of a Role that are not those of everybody whom it is bound to. */
function* tooMuch(role: Manifest, manifests: readonly Manifest[]): Generator<string> {
  const holders = manifests
    .filter((one) => one.kind === 'RoleBinding' && one.metadata.namespace === role.metadata.namespace)
    .filter(({ roleRef }) => objectOf(roleRef)['name'] === role.metadata.name)
    .flatMap(({ subjects }) => objectsOf(subjects).map(({ name }) => String(name)));
  if (holders.length === 0) yield 'is bound to nobody';
  for (const right of rightsOf(role)) {
    if (right.split(/[/ ]/).includes('*')) yield `${right}: a wildcard`;
    else
      for (const holder of holders.filter((one) => !(allowed[one] ?? []).includes(right))) {
        yield `${right}: is not among what ${holder} may do`;
      }
  }
}

/** What a Role gives, each as `GROUP/RESOURCE VERB`; the core group has no name. */
export function rightsOf(role: Manifest): readonly string[] {
  return objectsOf(role['rules']).flatMap((rule) =>
    texts(rule['apiGroups']).flatMap((group) =>
      texts(rule['resources']).flatMap((resource) =>
        texts(rule['verbs']).map((verb) => `${group}/${resource} ${verb}`),
      ),
    ),
  );
}

function* unbound(binding: Manifest, manifests: readonly Manifest[]): Generator<string> {
  const { kind: boundKind, name: role } = objectOf(binding['roleRef']);
  if (boundKind !== 'Role') yield `binds ${String(boundKind)}/${String(role)}, whose rights are not written here`;
  if (!manifests.some(({ kind, metadata }) => kind === 'Role' && metadata.name === role))
    yield `there is no Role/${String(role)}`;
  for (const subject of listOf(binding['subjects'])) {
    const { kind, name, namespace } = objectOf(subject);
    const there = manifests.some(
      (one) => one.kind === kind && one.metadata.name === name && one.metadata.namespace === namespace,
    );
    if (!there) yield `there is no ${String(kind)}/${String(name)} in ${String(namespace)}`;
  }
}
