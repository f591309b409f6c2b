import type { Finding, Rendered, Rule } from '../finding.ts';
import { type Manifest, nameOf, specOf, type Workload } from '../manifest.ts';
import { isObject, objectOf, objectsOf, type TreeObject } from '../tree.ts';

/** Secrets are made by whoever runs this (docs/kubernetes.md); these are the ones, with their keys. */
export const externalSecrets: Readonly<Record<string, readonly string[]>> = {
  'longhaul-redis-api': ['url'],
  'longhaul-redis-controller': ['url'],
  'longhaul-redis-worker': ['url'],
  'longhaul-redis-keda': ['address', 'username', 'password', 'tls'],
  // Of overlays/local alone.
  'longhaul-local-queue': ['password'],
  'longhaul-store': ['user', 'password'],
};

/** Priority classes that every cluster has. */
const builtInClasses = ['system-cluster-critical', 'system-node-critical'];

function has({ manifests }: Rendered, kind: string, name: string, namespace: string | null): boolean {
  return manifests.some(
    (one) =>
      one.kind === kind && one.metadata.name === name && (namespace === null || one.metadata.namespace === namespace),
  );
}

/** Every ConfigMap, Secret, ServiceAccount, priority class and volume that is named is there. */
export const references: Rule = (rendered) => {
  const missing = rendered.workloads.flatMap((workload) =>
    namesOf(workload)
      .filter(({ kind, name, key }) => !isThere(rendered, workload.namespace, kind, name, key))
      .map(({ kind, name, key }) => ({
        rule: 'references',
        object: workload.name,
        text: `there is no ${kind}/${name}${key === null ? '' : ` with the key ${key}`}`,
      })),
  );
  const unmounted = rendered.workloads.flatMap((workload) =>
    mountsOfNothing(workload).map((text) => ({ rule: 'references', object: workload.name, text })),
  );
  return [...missing, ...unmounted, ...triggerSecrets(rendered), ...namespaces(rendered), ...scaleTargets(rendered)];
};

interface Reference {
  readonly kind: string;
  readonly name: string;
  readonly key: string | null;
}

function namesOf({ pod }: Workload): readonly Reference[] {
  const found: Reference[] = [];
  const add = (kind: string, name: string | undefined, key: string | null = null) => {
    if (name !== undefined) found.push({ kind, name, key });
  };
  add('ServiceAccount', pod.serviceAccountName ?? 'default');
  add('PriorityClass', pod.priorityClassName);
  for (const { env, envFrom } of [...pod.initContainers, ...pod.containers]) {
    for (const { configMapRef, secretRef } of envFrom) {
      add('ConfigMap', configMapRef?.name);
      add('Secret', secretRef?.name);
    }
    for (const { valueFrom } of env) {
      add('ConfigMap', valueFrom?.configMapKeyRef?.name, valueFrom?.configMapKeyRef?.key ?? null);
      add('Secret', valueFrom?.secretKeyRef?.name, valueFrom?.secretKeyRef?.key ?? null);
    }
  }
  for (const { configMap, secret, projected, persistentVolumeClaim } of pod.volumes) {
    add('ConfigMap', configMap?.name);
    add('Secret', secret?.secretName);
    add('PersistentVolumeClaim', persistentVolumeClaim?.claimName);
    for (const source of projected?.sources ?? []) {
      add('ConfigMap', source.configMap?.name);
      add('Secret', source.secret?.name);
    }
  }
  return found;
}

function mountsOfNothing({ pod }: Workload): readonly string[] {
  return [...pod.initContainers, ...pod.containers].flatMap(({ name, volumeMounts }) =>
    volumeMounts
      .filter((mount) => !pod.volumes.some((volume) => volume.name === mount.name))
      .map((mount) => `container ${name} mounts the volume ${mount.name}, which the pod does not have`),
  );
}

function isThere(rendered: Rendered, namespace: string, kind: string, name: string, key: string | null): boolean {
  if (kind === 'PriorityClass') return builtInClasses.includes(name) || has(rendered, kind, name, null);
  if (kind === 'Secret' && externalSecrets[name] !== undefined)
    return key === null || externalSecrets[name].includes(key);
  const found = rendered.manifests.find(
    (one) => one.kind === kind && one.metadata.name === name && one.metadata.namespace === namespace,
  );
  if (found === undefined) return false;
  return key === null || keysOf(found).includes(key);
}

function keysOf(manifest: Manifest): readonly string[] {
  return ['data', 'stringData'].flatMap((part) => (isObject(manifest[part]) ? Object.keys(manifest[part]) : []));
}

function triggerSecrets(rendered: Rendered): readonly Finding[] {
  return rendered.manifests
    .filter(({ kind }) => kind === 'TriggerAuthentication')
    .flatMap((manifest) => {
      const refs = objectsOf(specOf(manifest)['secretTargetRef']);
      return refs
        .map(({ name, key }) => [String(name), String(key)] as const)
        .filter(([name, key]) => !isThere(rendered, manifest.metadata.namespace ?? '', 'Secret', name, key))
        .map(([name, key]) => ({
          rule: 'references',
          object: nameOf(manifest),
          text: `there is no Secret/${name} with the key ${key}`,
        }));
    });
}

/** Triggers name a TriggerAuthentication that is there, and an autoscaler what it scales. */
function scaleTargets(rendered: Rendered): readonly Finding[] {
  return rendered.manifests.flatMap((manifest) => {
    return targetsOf(manifest.kind, specOf(manifest))
      .filter(([kind, name]) => !has(rendered, kind, name, manifest.metadata.namespace ?? ''))
      .map(([kind, name]) => ({
        rule: 'references',
        object: nameOf(manifest),
        text: `there is no ${kind}/${name}`,
      }));
  });
}

function targetsOf(kind: string, spec: TreeObject): readonly (readonly [kind: string, name: string])[] {
  if (kind === 'HorizontalPodAutoscaler') {
    const { kind, name } = objectOf(spec['scaleTargetRef']);
    return [[String(kind), String(name)]];
  }
  if (kind !== 'ScaledJob') return [];
  return objectsOf(spec['triggers']).map(({ authenticationRef: ref }) => [
    'TriggerAuthentication',
    isObject(ref) ? String(ref['name']) : 'none',
  ]);
}

const clusterWide = [
  ...['Namespace', 'PriorityClass', 'NodePool', 'EC2NodeClass', 'StorageClass'],
  ...['ValidatingAdmissionPolicy', 'ValidatingAdmissionPolicyBinding'],
];

/** Everything that lives in a namespace says which, and it is one of ours. */
function namespaces({ manifests }: Rendered): readonly Finding[] {
  const ours = manifests.filter(({ kind }) => kind === 'Namespace').map(({ metadata }) => metadata.name);
  return manifests
    .filter(({ kind }) => !clusterWide.includes(kind))
    .filter(({ metadata }) => metadata.namespace === undefined || !ours.includes(metadata.namespace))
    .map((manifest) => ({
      rule: 'references',
      object: nameOf(manifest),
      text: `is in the namespace ${manifest.metadata.namespace ?? 'that kubectl is set to'}, which is not among ${ours.join(', ')}`,
    }));
}
