import type { Kind } from './schema.ts';

/** Where and whose the example deployment is. */
export const region = 'eu-central-1';
export const account = '123456789012';

export interface Asked {
  readonly kind: Kind;
  readonly type: string;
  readonly name: string;
  readonly attribute: string;
  /** What is configured of the resource; null where nothing is. */
  readonly argument: (name: string) => string | null;
}

const arn = (service: string, rest: string) => `arn:aws:${service}:${region}:${account}:${rest}`;
const id = (prefix: string) => () => `${prefix}-00000000000000000`;

/** What AWS makes up, in the form that it has: other modules' validations look at it. */
const examples: Readonly<Record<string, (asked: Asked) => string>> = {
  'aws_caller_identity.account_id': () => account,
  'aws_region.region': () => region,
  'aws_partition.partition': () => 'aws',
  'aws_kms_key.arn': () => arn('kms', 'key/00000000-0000-0000-0000-000000000000'),
  'aws_kms_key.key_id': () => '00000000-0000-0000-0000-000000000000',
  'aws_s3_bucket.id': ({ argument }) => argument('bucket')!,
  'aws_s3_bucket.arn': ({ argument }) => `arn:aws:s3:::${argument('bucket')}`,
  'aws_iam_role.arn': ({ argument }) => `arn:aws:iam::${account}:role/${argument('name')}`,
  'aws_iam_role.id': ({ argument }) => argument('name')!,
  'aws_iam_policy.arn': ({ argument }) => `arn:aws:iam::${account}:policy/${argument('name')}`,
  'aws_iam_instance_profile.arn': ({ argument }) => `arn:aws:iam::${account}:instance-profile/${argument('name')}`,
  'aws_ecr_repository.arn': ({ argument }) => arn('ecr', `repository/${argument('name')}`),
  'aws_ecr_repository.repository_url': ({ argument }) =>
    `${account}.dkr.ecr.${region}.amazonaws.com/${argument('name')}`,
  'aws_secretsmanager_secret.arn': ({ argument }) => arn('secretsmanager', `secret:${argument('name')}-AbCdEf`),
  'aws_secretsmanager_secret.id': ({ argument }) => arn('secretsmanager', `secret:${argument('name')}-AbCdEf`),
  'aws_ecs_cluster.arn': ({ argument }) => arn('ecs', `cluster/${argument('name')}`),
  'aws_ecs_task_definition.arn': ({ argument }) => arn('ecs', `task-definition/${argument('family')}:1`),
  'aws_cloudwatch_log_group.arn': ({ argument }) => arn('logs', `log-group:${argument('name')}`),
  'aws_cloudwatch_event_rule.arn': ({ argument }) => arn('events', `rule/${argument('name')}`),
  'aws_sns_topic.arn': ({ argument }) => arn('sns', argument('name')!),
  'aws_lb.arn': ({ argument }) => arn('elasticloadbalancing', `loadbalancer/app/${argument('name')}/0`),
  'aws_lb.arn_suffix': ({ argument }) => `app/${argument('name')}/0`,
  'aws_lb.dns_name': ({ argument }) => `${argument('name')}.${region}.elb.amazonaws.com`,
  'aws_lb_target_group.arn': ({ argument }) => arn('elasticloadbalancing', `targetgroup/${argument('name')}/0`),
  'aws_lb_target_group.arn_suffix': ({ argument }) => `targetgroup/${argument('name')}/0`,
  'aws_vpc.id': id('vpc'),
  'aws_subnet.id': id('subnet'),
  'aws_security_group.id': ({ name }) => `sg-${name}`,
  'aws_elasticache_replication_group.primary_endpoint_address': () => 'master.longhaul.abcdef.euc1.cache.amazonaws.com',
  'aws_secretsmanager_random_password.random_password': () => '0'.repeat(48),
  'aws_secretsmanager_secret_version.secret_string': () =>
    JSON.stringify(
      Object.fromEntries(['api', 'controller', 'worker', 'default'].map((user) => [user, `${user}${'0'.repeat(40)}`])),
    ),
};

export function exampleOf(asked: Asked): string {
  const { type, name, attribute } = asked;
  return examples[`${type}.${attribute}`]?.(asked) ?? `${type}.${name}.${attribute}`;
}
