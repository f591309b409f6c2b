import { z } from 'zod';

export const platforms = ['ec2', 'ecs', 'kubernetes', 'gce'] as const;
export type Platform = (typeof platforms)[number];

const Choice = z.string().transform((text, context): 'auto' | 'none' | readonly Platform[] => {
  if (text === 'auto' || text === 'none') return text;
  const named = z.array(z.enum(platforms)).min(1).safeParse(text.split(','));
  if (named.success) return named.data;
  context.addIssue({ code: 'custom', message: `must be auto, none, or a list of ${platforms.join(',')}` });
  return z.NEVER;
});

const endpoint = z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, ''));

/** Where notices of preemption are looked for. The last three are set by ECS and Kubernetes themselves. */
export const preemptionSettings = {
  /** Where notices are looked for beside signals: `auto` is what the environment shows; `none`; or a list of `ec2,ecs,kubernetes,gce`. */
  LONGHAUL_PREEMPTION: Choice.default('auto'),
  /** EC2's metadata service, where it is not at its own address. */
  LONGHAUL_IMDS_ENDPOINT: endpoint.optional(),
  /** GCE's metadata service, where it is not at its own address. */
  LONGHAUL_GCE_METADATA_ENDPOINT: endpoint.optional(),
  /** The API server, where it is not the one that the pod is told of. */
  LONGHAUL_KUBERNETES_API: endpoint.optional(),
  /** Directory of the service account's token and certificate. */
  LONGHAUL_KUBERNETES_SERVICE_ACCOUNT: z.string().default('/var/run/secrets/kubernetes.io/serviceaccount'),
  /** The pod's name; its host name where this is not set. */
  LONGHAUL_POD_NAME: z.string().max(253).optional(),
  /** Set by ECS itself. */
  ECS_CONTAINER_METADATA_URI_V4: endpoint.optional(),
  /** Set by Kubernetes itself. */
  KUBERNETES_SERVICE_HOST: z.string().max(253).optional(),
  /** Set by Kubernetes itself. */
  KUBERNETES_SERVICE_PORT: z.coerce.number().int().min(1).max(65_535).default(443),
};

const Settings = z.object(preemptionSettings);
export type PreemptionSettings = Readonly<z.infer<typeof Settings>>;
