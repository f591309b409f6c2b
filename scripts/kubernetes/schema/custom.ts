import { z } from 'zod';

/**
 * What we use of kinds whose schemas no package here publishes, or publishes without saying which fields are unknown. Strict: a field
 * that stands in none of these is one that nobody here has looked up. Values are held to what the projects document.
 */
const Pairs = z.record(z.string(), z.string());

const meta = z.strictObject({
  name: z.string(),
  namespace: z.string().optional(),
  labels: Pairs.optional(),
  annotations: Pairs.optional(),
});

const duration = z.string().regex(/^(\d+(s|m|h))+$|^Never$/, 'is a duration such as 2m, or Never');
const bounded = z.string().regex(/^(\d+(s|m|h))+$/, 'is a duration such as 2m');
const quantity = z.union([z.string(), z.number()]);

const Requirement = z.strictObject({
  key: z.string(),
  operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt']),
  values: z.array(z.string()).optional(),
  minValues: z.int().min(1).max(50).optional(),
});

const DisruptionBudget = z.strictObject({
  nodes: z.string().regex(/^((100|\d{1,2})%|\d+)$/, 'is a number or a percentage, as text'),
  reasons: z
    .array(z.enum(['Drifted', 'Empty', 'Underutilized']))
    .min(1)
    .optional(),
});

/** karpenter.sh/docs/concepts/nodepools */
const NodePool = z.strictObject({
  apiVersion: z.literal('karpenter.sh/v1'),
  kind: z.literal('NodePool'),
  metadata: meta,
  spec: z.strictObject({
    weight: z.int().min(1).max(100).optional(),
    limits: z.record(z.string(), quantity).optional(),
    disruption: z.strictObject({
      consolidationPolicy: z.enum(['WhenEmpty', 'WhenEmptyOrUnderutilized']),
      consolidateAfter: duration,
      budgets: z.array(DisruptionBudget).min(1).max(50).optional(),
    }),
    template: z.strictObject({
      metadata: z.strictObject({ labels: Pairs }).optional(),
      spec: z.strictObject({
        nodeClassRef: z.strictObject({
          group: z.literal('karpenter.k8s.aws'),
          kind: z.literal('EC2NodeClass'),
          name: z.string(),
        }),
        expireAfter: duration.optional(),
        terminationGracePeriod: bounded.optional(),
        taints: z
          .array(
            z.strictObject({
              key: z.string(),
              value: z.string().optional(),
              effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']),
            }),
          )
          .optional(),
        requirements: z.array(Requirement).min(1),
      }),
    }),
  }),
});

const Tags = z.strictObject({ tags: Pairs });

/** karpenter.sh/docs/concepts/nodeclasses */
const EC2NodeClass = z.strictObject({
  apiVersion: z.literal('karpenter.k8s.aws/v1'),
  kind: z.literal('EC2NodeClass'),
  metadata: meta,
  spec: z.strictObject({
    amiSelectorTerms: z
      .array(z.strictObject({ alias: z.string().regex(/^(al2023|bottlerocket)@(?!latest$)/, 'names a version') }))
      .length(1),
    role: z.string(),
    subnetSelectorTerms: z.array(Tags).min(1),
    securityGroupSelectorTerms: z.array(Tags).min(1),
    instanceStorePolicy: z.literal('RAID0').optional(),
    metadataOptions: z.strictObject({
      httpEndpoint: z.enum(['enabled', 'disabled']),
      httpTokens: z.literal('required'),
      httpPutResponseHopLimit: z.int().min(1).max(64),
    }),
    blockDeviceMappings: z.array(
      z.strictObject({
        deviceName: z.string(),
        ebs: z.strictObject({
          volumeType: z.enum(['gp3', 'io2']),
          volumeSize: z.string(),
          encrypted: z.literal(true),
          deleteOnTermination: z.literal(true),
        }),
      }),
    ),
  }),
});

/** keda.sh/docs/latest/reference/scaledjob-spec; of the redis trigger what its scaler reads. The Job is looked at as one. */
const RedisTrigger = z.strictObject({
  type: z.literal('redis'),
  name: z.string(),
  metadata: z.strictObject({
    listName: z.string(),
    listLength: z.string().regex(/^[1-9]\d*$/, 'is a number from 1 on, as text'),
  }),
  authenticationRef: z.strictObject({ name: z.string() }),
});

const ScaledJob = z.strictObject({
  apiVersion: z.literal('keda.sh/v1alpha1'),
  kind: z.literal('ScaledJob'),
  metadata: meta,
  spec: z.strictObject({
    jobTargetRef: z.looseObject({}),
    pollingInterval: z.int().min(1),
    minReplicaCount: z.int().min(0),
    maxReplicaCount: z.int().min(1),
    successfulJobsHistoryLimit: z.int().min(0),
    failedJobsHistoryLimit: z.int().min(0),
    rollout: z.strictObject({ strategy: z.enum(['default', 'gradual']) }),
    scalingStrategy: z.strictObject({
      strategy: z.enum(['default', 'custom', 'accurate', 'eager']),
      multipleScalersCalculation: z.enum(['max', 'min', 'avg', 'sum']),
      pendingPodConditions: z.array(z.string()),
    }),
    triggers: z.array(RedisTrigger).min(1),
  }),
});

/** keda.sh/docs/latest/concepts/authentication; the parameters are those of the redis scaler. */
const TriggerAuthentication = z.strictObject({
  apiVersion: z.literal('keda.sh/v1alpha1'),
  kind: z.literal('TriggerAuthentication'),
  metadata: meta,
  spec: z.strictObject({
    secretTargetRef: z.array(
      z.strictObject({
        parameter: z.enum(['address', 'host', 'port', 'username', 'password', 'tls', 'ca', 'cert', 'key']),
        name: z.string(),
        key: z.string(),
      }),
    ),
  }),
});

/** prometheus-operator.dev/docs/api-reference/api */
const PodMonitor = z.strictObject({
  apiVersion: z.literal('monitoring.coreos.com/v1'),
  kind: z.literal('PodMonitor'),
  metadata: meta,
  spec: z.strictObject({
    jobLabel: z.string(),
    selector: z.strictObject({ matchLabels: Pairs }),
    podMetricsEndpoints: z.array(
      z.strictObject({
        port: z.string(),
        path: z.string().startsWith('/'),
        interval: duration,
        scrapeTimeout: duration.optional(),
      }),
    ),
  }),
});

const Alert = z.strictObject({
  alert: z.string(),
  expr: z.string(),
  for: duration.optional(),
  keep_firing_for: duration.optional(),
  labels: Pairs.optional(),
  annotations: Pairs.optional(),
});
const Recording = z.strictObject({ record: z.string(), expr: z.string(), labels: Pairs.optional() });

/** Groups are those of a Prometheus rule file. */
export const RuleGroups = z.array(
  z.strictObject({
    name: z.string(),
    interval: duration.optional(),
    rules: z.array(z.union([Alert, Recording])).min(1),
  }),
);

const PrometheusRule = z.strictObject({
  apiVersion: z.literal('monitoring.coreos.com/v1'),
  kind: z.literal('PrometheusRule'),
  metadata: meta,
  spec: z.strictObject({ groups: RuleGroups }),
});

const custom: Readonly<Record<string, z.ZodType>> = {
  NodePool,
  EC2NodeClass,
  ScaledJob,
  TriggerAuthentication,
  PodMonitor,
  PrometheusRule,
};

/** The schema here of a custom resource; null for a kind that is looked at nowhere. */
export function customSchema(kind: string): z.ZodType | null {
  return custom[kind] ?? null;
}
