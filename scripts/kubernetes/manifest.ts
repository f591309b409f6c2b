import { z } from 'zod';
import { objectOf, type TreeObject } from './tree.ts';

/** One object as it would be sent to a cluster. What is inside is looked at by the schemas and rules. */
export const Manifest = z.looseObject({
  apiVersion: z.string().min(1),
  kind: z.string().min(1),
  metadata: z.looseObject({
    name: z.string().min(1),
    namespace: z.string().optional(),
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
  }),
});
export type Manifest = z.infer<typeof Manifest>;

/** `kind/name`, as kubectl says it. */
export function nameOf({ kind, metadata }: Manifest): string {
  return `${kind}/${metadata.name}`;
}

export function specOf(manifest: Manifest): TreeObject {
  return objectOf(manifest['spec']);
}

const localConfig = 'config.kubernetes.io/local-config';

/** Kustomize keeps such objects for others to copy from, and never applies them. */
export function isLocal({ metadata }: Manifest): boolean {
  return metadata.annotations?.[localConfig] === 'true';
}

/** What reaches the cluster. */
export function applied(manifests: readonly Manifest[]): readonly Manifest[] {
  return manifests.filter((manifest) => !isLocal(manifest));
}

const Labels = z.record(z.string(), z.string());

const EnvVar = z.looseObject({
  name: z.string(),
  value: z.string().optional(),
  valueFrom: z
    .looseObject({
      secretKeyRef: z.looseObject({ name: z.string(), key: z.string(), optional: z.boolean().optional() }).optional(),
      configMapKeyRef: z.looseObject({ name: z.string(), key: z.string() }).optional(),
      fieldRef: z.looseObject({ fieldPath: z.string() }).optional(),
    })
    .optional(),
});

const Named = z.looseObject({ name: z.string() });

const EnvFrom = z.looseObject({ configMapRef: Named.optional(), secretRef: Named.optional() });

const Resources = z.record(z.string(), z.union([z.string(), z.number()])).default({});

const Probe = z.looseObject({
  httpGet: z.looseObject({ path: z.string(), port: z.union([z.string(), z.number()]) }).optional(),
});

const Container = z.looseObject({
  name: z.string(),
  image: z.string(),
  imagePullPolicy: z.string().optional(),
  args: z.array(z.string()).default([]),
  env: z.array(EnvVar).default([]),
  envFrom: z.array(EnvFrom).default([]),
  ports: z
    .array(z.looseObject({ name: z.string().optional(), containerPort: z.number(), hostPort: z.number().optional() }))
    .default([]),
  startupProbe: Probe.optional(),
  livenessProbe: Probe.optional(),
  readinessProbe: Probe.optional(),
  resources: z.looseObject({ requests: Resources, limits: Resources }).prefault({}),
  securityContext: z
    .looseObject({
      allowPrivilegeEscalation: z.boolean().optional(),
      readOnlyRootFilesystem: z.boolean().optional(),
      privileged: z.boolean().optional(),
      runAsNonRoot: z.boolean().optional(),
      runAsUser: z.number().optional(),
      capabilities: z
        .looseObject({ drop: z.array(z.string()).default([]), add: z.array(z.string()).default([]) })
        .optional(),
      seccompProfile: z.looseObject({ type: z.string() }).optional(),
    })
    .prefault({}),
  volumeMounts: z.array(z.looseObject({ name: z.string(), mountPath: z.string() })).default([]),
});
export type Container = z.infer<typeof Container>;

const Volume = z.looseObject({
  name: z.string(),
  configMap: Named.optional(),
  secret: z.looseObject({ secretName: z.string() }).optional(),
  projected: z
    .looseObject({
      sources: z.array(
        z.looseObject({
          configMap: Named.optional(),
          secret: Named.optional(),
          serviceAccountToken: z.looseObject({}).optional(),
          downwardAPI: z.looseObject({}).optional(),
        }),
      ),
    })
    .optional(),
  emptyDir: z.looseObject({ sizeLimit: z.union([z.string(), z.number()]).optional() }).optional(),
  hostPath: z.looseObject({ path: z.string() }).optional(),
  persistentVolumeClaim: z.looseObject({ claimName: z.string() }).optional(),
});

const PodSpec = z.looseObject({
  serviceAccountName: z.string().optional(),
  automountServiceAccountToken: z.boolean().optional(),
  priorityClassName: z.string().optional(),
  restartPolicy: z.string().optional(),
  terminationGracePeriodSeconds: z.number().optional(),
  hostNetwork: z.boolean().optional(),
  hostPID: z.boolean().optional(),
  hostIPC: z.boolean().optional(),
  nodeSelector: Labels.default({}),
  securityContext: z
    .looseObject({
      runAsNonRoot: z.boolean().optional(),
      runAsUser: z.number().optional(),
      runAsGroup: z.number().optional(),
      seccompProfile: z.looseObject({ type: z.string() }).optional(),
    })
    .prefault({}),
  initContainers: z.array(Container).default([]),
  containers: z.array(Container).min(1),
  volumes: z.array(Volume).default([]),
});

const PodTemplate = z.looseObject({
  metadata: z.looseObject({ labels: Labels.default({}), annotations: Labels.default({}) }).prefault({}),
  spec: PodSpec,
});

/** What runs: a Deployment's, a StatefulSet's, a Job's or a ScaledJob's pod. */
export interface Workload {
  readonly manifest: Manifest;
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly pod: z.infer<typeof PodSpec>;
  /** The spec of the Job, where it is one's. */
  readonly job: TreeObject | null;
  /** Of what keeps pods up; null for a Job. */
  readonly selector: Readonly<Record<string, string>> | null;
}

const Selector = z.looseObject({ matchLabels: Labels }).transform(({ matchLabels }) => matchLabels);

const shapes: Readonly<Record<string, (spec: TreeObject) => { template: unknown; job: TreeObject | null }>> = {
  Deployment: (spec) => ({ template: spec['template'], job: null }),
  StatefulSet: (spec) => ({ template: spec['template'], job: null }),
  Job: (spec) => ({ template: spec['template'], job: spec }),
  ScaledJob: (spec) => {
    const job = objectOf(spec['jobTargetRef']);
    return { template: job['template'], job };
  },
};

/**
 * The workload that a manifest describes; null for one that runs nothing.
 *
 * @throws z.ZodError where its pod is not of the shape that the rules look at
 */
export function workloadOf(manifest: Manifest): Workload | null {
  const shape = shapes[manifest.kind];
  if (shape === undefined) return null;
  const spec = specOf(manifest);
  const { template, job } = shape(spec);
  const { metadata, spec: pod } = PodTemplate.parse(template);
  return {
    manifest,
    name: nameOf(manifest),
    namespace: manifest.metadata.namespace ?? 'default',
    labels: metadata.labels,
    annotations: metadata.annotations,
    pod,
    job,
    selector: job === null ? Selector.parse(spec['selector']) : null,
  };
}
