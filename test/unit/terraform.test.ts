// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are Terraform's
import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { checkAll } from '../../scripts/terraform/check.ts';
import { type Configuration, loadModules, parseModule } from '../../scripts/terraform/configuration.ts';
import { checkConventions } from '../../scripts/terraform/conventions.ts';
import { Evaluation } from '../../scripts/terraform/evaluate.ts';
import {
  byPath,
  everyModule,
  exampleDeployment,
  exampleInputs,
  renderedPolicies,
} from '../../scripts/terraform/example-deployment.ts';
import type { Value } from '../../scripts/terraform/functions.ts';
import { checkPolicies } from '../../scripts/terraform/policies.ts';
import { checkReferences } from '../../scripts/terraform/references.ts';
import { checkRights, readRows, rowsOf } from '../../scripts/terraform/rights.ts';
import { checkSchema, readSchema, terraformRoot } from '../../scripts/terraform/schema.ts';
import { checkSettings } from '../../scripts/terraform/settings.ts';

const modules = await loadModules(terraformRoot);
const schema = await readSchema();

/** All modules, with one text of one of them replaced, which must be there. */
async function planted(path: string, from: string, to: string): Promise<Configuration[]> {
  const target = modules.find((one) => one.path === path)!;
  assert.ok(
    target.files.some(({ text }) => text.includes(from)),
    `${path} has no ${JSON.stringify(from)}`,
  );
  const files = target.files.map(({ name, text }) => ({ name, text: text.replace(from, () => to) }));
  const changed = await parseModule(path, files);
  return modules.map((one) => (one.path === path ? changed : one));
}

function faultsIn(all: readonly Configuration[], path: string): string[] {
  const others = byPath(all);
  const one = others.get(path)!;
  const found = [...checkConventions(one), ...checkSchema(one, schema), ...checkReferences(one, others, schema)];
  return found.map(({ where, text }) => `${where}: ${text}`);
}

test('terraform/ has no fault', async () => {
  const found = (await checkAll()).flatMap(({ faults }) => faults);
  assert.deepEqual(found, []);
});

const plants: readonly (readonly [what: string, path: string, from: string, to: string, expected: RegExp])[] = [
  [
    'an argument nobody knows',
    'modules/storage',
    'block_public_acls  ',
    'block_public_acl   ',
    /block_public_acl is no argument/,
  ],
  [
    'a nested one',
    'modules/workers',
    'use_local_storage = true',
    'use_local_disk = true',
    /local_storage_configuration\.use_local_disk is no argument/,
  ],
  [
    'one in a dynamic block',
    'modules/observability',
    'threshold_type            = "PERCENTAGE"',
    'threshold_kind            = "PERCENTAGE"',
    /notification\.threshold_kind is no argument/,
  ],
  [
    'an argument that is missing',
    'modules/registry',
    '  name                 = "${var.name}/${each.key}"\n',
    '',
    /aws_ecr_repository\.this: name is missing/,
  ],
  [
    'a block that is missing',
    'modules/workers',
    '        vcpu_count {\n          min = ceil(var.instances.cpu / 1024)\n        }\n',
    '',
    /vcpu_count is missing/,
  ],
  [
    'a block twice',
    'modules/control',
    'flexible_time_window {\n    mode = "OFF"\n  }',
    'flexible_time_window {\n    mode = "OFF"\n  }\n\n  flexible_time_window {\n    mode = "OFF"\n  }',
    /flexible_time_window stands 2 times/,
  ],
  [
    'a value of another type',
    'modules/keys',
    'deletion_window_in_days = 30',
    'deletion_window_in_days = "soon"',
    /takes a number/,
  ],
  [
    'a variable that is not there',
    'modules/keys',
    'alias/${var.name}',
    'alias/${var.nmae}',
    /there is no variable nmae/,
  ],
  [
    'a local that is not there',
    'modules/keys',
    '${local.account}:root',
    '${local.acount}:root',
    /there is no local acount/,
  ],
  [
    'a resource that is not there',
    'modules/keys',
    'aws_kms_key.this.key_id',
    'aws_kms_key.that.key_id',
    /there is no aws_kms_key\.that/,
  ],
  [
    'an attribute that is not there',
    'modules/keys',
    'aws_kms_key.this.key_id',
    'aws_kms_key.this.key_di',
    /has no attribute key_di/,
  ],
  [
    'an output that is not there',
    '.',
    'module.keys.key_arn',
    'module.keys.key_anr',
    /module keys has no output key_anr/,
  ],
  ['a call without what is required', '.', '  keep_images = 20\n', '', /modules\/registry needs keep_images/],
  [
    'a call with too much',
    '.',
    '  keep_images = 20\n',
    '  keep_images = 20\n  keep_pictures = 3\n',
    /has no variable keep_pictures/,
  ],
  ['a function that is not known', 'modules/workers', 'ceil(', 'round(', /the function round is not known/],
  [
    'a variable that nobody reads',
    'modules/registry',
    'variable "keep_images"',
    'variable "spare" {\n  description = "Nothing."\n  type = string\n  validation {\n    condition = var.spare != null\n    error_message = "x"\n  }\n}\n\nvariable "keep_images"',
    /var\.spare is declared, and nothing reads it/,
  ],
  [
    'a variable without a check',
    'modules/keys',
    'can(regex("^[a-z][a-z0-9-]{1,20}[a-z0-9]$", var.name))',
    'true',
    /has a validation that does not look at it/,
  ],
  [
    'an output without a word',
    'modules/keys',
    '  description = "The key."\n',
    '',
    /output\.key_arn: has no description/,
  ],
  [
    'a log in the clear',
    'modules/workers',
    '  kms_key_id        = var.kms_key_arn\n',
    '',
    /aws_cloudwatch_log_group\.worker: kms_key_id is not as it must be/,
  ],
  [
    'a secret in the state',
    'modules/queue',
    '  secret_string_wo = jsonencode',
    '  secret_string = jsonencode',
    /secret_string would stand in the state/,
  ],
  [
    'an ingress from everywhere',
    'modules/network',
    'cidr_ipv4         = each.key',
    'cidr_ipv4         = "0.0.0.0/0"',
    /aws_vpc_security_group_ingress_rule\.alb_https: lets in the world, by 0\.0\.0\.0\/0/,
  ],
  [
    'one from everywhere in IPv6',
    'modules/network',
    'cidr_ipv4         = each.key',
    'cidr_ipv6         = "::/0"',
    /aws_vpc_security_group_ingress_rule\.alb_https: lets in the world, by ::\/0/,
  ],
  [
    'one that is repeated for everywhere',
    'modules/network',
    'for_each = toset(var.api_ingress_cidrs)',
    'for_each = toset(concat(var.api_ingress_cidrs, ["0.0.0.0/0"]))',
    /lets in the world/,
  ],
  [
    'one by a default',
    '.',
    'whether all the world may ask is yours to say."\n  type        = list(string)\n',
    'whether all the world may ask is yours to say."\n  type        = list(string)\n  default     = ["0.0.0.0/0"]\n',
    /variable\.api_ingress_cidrs: is all the world unless it is set/,
  ],
  [
    'one inside a group',
    'modules/network',
    'description = "The queue"\n',
    'description = "The queue"\n\n  ingress {\n    protocol = "tcp"\n    from_port = 6379\n    to_port = 6379\n    cidr_blocks = ["0.0.0.0/0"]\n  }\n',
    /aws_security_group\.redis: lets in the world/,
  ],
];

for (const [what, path, from, to, expected] of plants) {
  test(`a planted fault is found: ${what}`, async () => {
    assert.match(faultsIn(await planted(path, from, to), path).join('\n'), expected);
  });
}

test('what is no HCL is told with its file and line', async () => {
  await assert.rejects(
    planted('modules/keys', 'resource "aws_kms_alias" "this" {', 'resource "aws_kms_alias" "this" {{'),
    /modules\/keys\/main\.tf:\d+/,
  );
});

function policyFaults(all: readonly Configuration[]): string {
  return checkPolicies(renderedPolicies(exampleDeployment(all)))
    .map(({ where, text }) => `${where}: ${text}`)
    .join('\n');
}

test('a policy that is wider than its reason is found', async () => {
  const identity = 'modules/identity';
  const pattern = await planted(identity, 'actions   = ["s3:GetObject"]', 'actions   = ["s3:Get*"]');
  assert.match(policyFaults(pattern), /modules\/identity: \w+ Models: the action s3:Get\* is a pattern/);
  const all = await planted(
    identity,
    'resources = ["${local.ecs}:task-definition/${var.name}-worker:*"]',
    'resources = ["*"]',
  );
  assert.match(policyFaults(all), /controller StartWorkers: names every resource/);
  for (const wide of [
    '${local.ecs}:*',
    '${local.ecs}:task-definition/*',
    'arn:aws:ecs:*:*:*',
    'arn:aws:s3:::*',
    'arn:*',
  ]) {
    const one = await planted(
      identity,
      'resources = ["${local.ecs}:task-definition/${var.name}-worker:*"]',
      `resources = ["${wide}"]`,
    );
    assert.match(policyFaults(one), /controller StartWorkers: names every resource/, wide);
  }
  const source = 'variable = "aws:SourceAccount"\n      values   = [local.account]';
  const anybody = await planted(
    'modules/observability',
    source,
    source.replace('aws:SourceAccount', 'aws:SecureTransport'),
  );
  assert.match(policyFaults(anybody), /alarms AlarmsAndBudgets: lets in .*cloudwatch\.amazonaws\.com/);
});

test('a right that is more or less than the table says is found', async () => {
  const rows = await readRows();
  const faults = (all: readonly Configuration[]) => {
    const root = exampleDeployment(all);
    return checkRights(rows, renderedPolicies(root), root)
      .map(({ text }) => text)
      .join('\n');
  };
  const more = await planted(
    'modules/identity',
    '"${var.ledger_arn}/jobs/*/ckpt/*",\n      "${var.ledger_arn}/prefixes/*",\n      "${var.ledger_arn}/probe/*",\n      "${var.ledger_arn}/states/*/*/ckpt/*",',
    '"${var.ledger_arn}/jobs/*",',
  );
  assert.match(
    faults(more),
    /worker, s3:DeleteObject of ledger jobs\/j1\/spec\.json: the table says not allowed, and the policies say allowed/,
  );
  const less = await planted(
    'modules/storage',
    'sid           = "WrittenOnce"\n    effect        = "Deny"',
    'sid           = "WrittenOnce"\n    effect        = "Allow"',
  );
  assert.match(faults(less), /the table says denied, and the policies say allowed/);
});

test('the table must be one', () => {
  const head = '| who | call | of | with | may |\n|---|---|---|---|---|\n';
  assert.throws(() => rowsOf('nothing'), /no table of rights/);
  assert.throws(
    () => rowsOf(`${head}| worker | \`s3:GetObject\` | \`ledger a\` | | perhaps |`),
    /docs\/iam\.md:3 is no row/,
  );
  assert.equal(rowsOf(`${head}| worker | \`s3:GetObject\` | \`ledger a\` | | yes |`).length, 1);
});

test('a setting that no program knows is found, and a value that it does not take', async () => {
  const faults = (all: readonly Configuration[]) =>
    checkSettings(exampleDeployment(all))
      .map(({ where, text }) => `${where}: ${text}`)
      .join('\n');
  const name = await planted('modules/workers', 'LONGHAUL_SLOTS  ', 'LONGHAUL_SLOTZ  ');
  assert.match(faults(name), /task worker: LONGHAUL_SLOTZ is no setting of the worker/);
  const value = await planted(
    '.',
    'LONGHAUL_SCALE_PLATFORM         = "ecs"',
    'LONGHAUL_SCALE_PLATFORM         = "ec2"',
  );
  assert.match(faults(value), /task controller: LONGHAUL_SCALE_PLATFORM/);
});

test('every line that an alarm counts is one that a program writes', async () => {
  const root = exampleDeployment(modules);
  const counted = Object.values(root.child('observability').local('counted') as Record<string, { pattern: string }>);
  const lines = counted.flatMap(({ pattern }) =>
    [...pattern.matchAll(/\$\.msg = "([^"]+)"/g)].map(([, line]) => line!),
  );
  assert.ok(lines.length >= 5, String(lines.length));
  const sources: string[] = [];
  for await (const file of glob('{worker,infra/controller}/**/*.ts', { cwd: path.join(terraformRoot, '..') })) {
    if (!file.includes('node_modules')) sources.push(await readFile(path.join(terraformRoot, '..', file), 'utf8'));
  }
  const written = sources.join('\n');
  // One of them names how the attempt ended.
  const said = (line: string) => line.replace(/^(attempt ended: )(retry|quarantine)$/, '$1${failure.disposition}');
  for (const line of lines) assert.ok(written.includes(said(line)), line);
});

test('values that a variable does not take are refused in its own words', () => {
  const refused = (inputs: Readonly<Record<string, Value>>) => {
    const root = exampleDeployment(modules, { ...exampleInputs, ...inputs });
    for (const { evaluation } of everyModule(root)) evaluation.checkVariables();
  };
  refused({});
  assert.throws(() => refused({ name: 'Longhaul' }), /name takes 3 to 22/);
  assert.throws(() => refused({ image_digests: { control: 'latest' } }), /image_digests are sha256/);
  assert.throws(() => refused({ document_sources: ['s3://bucket/prefix'] }), /document_sources are s3/);
  assert.throws(() => refused({ api_ingress_cidrs: ['everywhere'] }), /api_ingress_cidrs are IPv4 blocks/);
});

test('what a program would refuse is refused before anything is made', () => {
  composed({ worker_limits: { workers: 1, day_hours: 0.5 }, keep_days: { states: 1, inputs: null }, worker_slots: 1 });
  const refused = (inputs: Readonly<Record<string, Value>>, words: RegExp) =>
    assert.throws(() => composed(inputs), words, JSON.stringify(inputs));
  for (const workers of [0, 1.5, 1001]) {
    refused({ worker_limits: { workers, day_hours: 24 } }, /worker_limits has workers of 1 to 1000/);
  }
  for (const day_hours of [0, 1_000_001]) refused({ worker_limits: { workers: 4, day_hours } }, /day_hours above 0/);
  for (const worker_slots of [0, 2.5, 1025]) refused({ worker_slots }, /worker_slots is a whole number from 1 to 1024/);
  for (const name of ['states', 'jobs', 'inputs'])
    for (const days of [0, 0.5, 36_501]) refused({ keep_days: { [name]: days } }, /keep_days are whole numbers/);
  refused({ api_tasks: 1.5 }, /api_tasks is a whole number/);
  refused({ queue_age_minutes: 1.5 }, /queue_age_minutes is a whole number/);
  refused({ instance_idle_seconds: 0.5 }, /instance_idle_seconds is a whole number/);
  refused({ worker_instances: { cpu: 3072.5 } }, /worker_instances has whole numbers/);
  refused(
    { worker_instances: { types: ['g5.xlarge', 'g6.xlarge'] } },
    /worker_instances.types have GPUs of one compute/,
  );
});

test('before the first push there is no task, and afterwards each names its image by digest', () => {
  const images = (inputs: Readonly<Record<string, Value>>) =>
    everyModule(exampleDeployment(modules, { ...exampleInputs, ...inputs })).flatMap(({ evaluation }) =>
      evaluation.module.resources
        .filter(({ type }) => type === 'aws_ecs_task_definition')
        .flatMap((resource) => evaluation.configured(resource))
        .map(({ values }) => (JSON.parse(values['container_definitions'] as string) as { image: string }[])[0]!.image),
    );
  assert.deepEqual(images({ image_digests: {} }), []);
  const made = images({});
  assert.equal(made.length, 3);
  for (const image of made) assert.match(image, /@sha256:[0-9a-f]{64}$/);
});

/** The root composition by itself, all of it evaluated. */
function composed(
  choices: Readonly<Record<string, Value>>,
): ReadonlyMap<string, readonly Readonly<Record<string, Value>>[]> {
  const { certificate_arn, api_host, api_ingress_cidrs, alarm_emails, image_digests } = exampleInputs;
  const inputs: Readonly<Record<string, Value | undefined>> = {
    ...{ certificate_arn, api_host, api_ingress_cidrs, alarm_emails, image_digests },
    availability_zones: ['eu-central-1a', 'eu-central-1b', 'eu-central-1c'],
    model: { name: 'falcon' },
    monthly_budget_usd: 100,
    ...choices,
  };
  const all = byPath(modules);
  const made = new Map<string, Readonly<Record<string, Value>>[]>();
  for (const { evaluation } of everyModule(new Evaluation(all.get('.')!, all, (name) => inputs[name]))) {
    evaluation.checkVariables();
    for (const resource of evaluation.module.resources) {
      const found = evaluation.configured(resource).map(({ values }) => values);
      made.set(resource.type, [...(made.get(resource.type) ?? []), ...found]);
    }
  }
  return made;
}

test('the other choices come to values, too', () => {
  const usual = composed({});
  const other = composed({
    controller_mode: 'schedule',
    worker_internet: true,
    endpoint_zones: 0,
    keep_deleted_days: 7,
    api_internal: true,
    otlp_endpoint: 'https://collector.example.com',
    keep_days: { jobs: 30 },
    queue_nodes: 1,
  });
  const count = (of: typeof usual, type: string) => of.get(type)?.length ?? 0;
  const counts = (type: string) => [count(usual, type), count(other, type)];
  assert.deepEqual(counts('aws_scheduler_schedule'), [0, 1]);
  assert.deepEqual(counts('aws_ecs_service'), [2, 1]);
  assert.deepEqual(counts('aws_nat_gateway'), [0, 1]);
  assert.deepEqual(counts('aws_vpc_endpoint'), [8, 1]);
  assert.deepEqual(counts('aws_s3_bucket_versioning'), [1, 2]);
  assert.equal(other.get('aws_scheduler_schedule')![0]!['schedule_expression'], 'rate(5 minutes)');
  assert.equal(other.get('aws_elasticache_replication_group')![0]!['multi_az_enabled'], false);
  assert.throws(() => composed({ endpoint_zones: 0 }), /workers need a way to AWS/);
  assert.throws(() => composed({ fault_injection: true }), /other than production/);
  assert.throws(() => composed({ api_ingress_cidrs: [] }), /api_ingress_cidrs/);
  assert.throws(() => composed({ model: {} }), /the attribute name is missing/);
});

interface Alarm {
  readonly period: number;
  readonly evaluation_periods: number;
  readonly alarm_description: string;
}

function alarmsOf(choices: Readonly<Record<string, Value>>): (name: string) => Alarm {
  const made = composed(choices).get('aws_cloudwatch_metric_alarm')!;
  return (name) => made.find((one) => one['alarm_name'] === `longhaul-${name}`)! as unknown as Alarm;
}

/** Whether an alarm on the least value fires in a minute: each of its periods before it has data, and all of it is above 0. */
function fires({ period, evaluation_periods }: Alarm, looks: ReadonlyMap<number, number>, now: number): boolean {
  const minutes = period / 60;
  return Array.from({ length: evaluation_periods }, (_, i) => now - (i + 1) * minutes).every((from) => {
    const found = Array.from({ length: minutes }, (_, minute) => looks.get(from + minute)).filter(
      (value) => value !== undefined,
    );
    return found.length > 0 && Math.min(...found) > 0;
  });
}

test('alarms on the queue stand as they are said where the controller runs always', () => {
  const alarm = alarmsOf({ queue_age_minutes: 30 });
  for (const [name, minutes] of [
    ['orphaned', 10],
    ['waiting-long', 30],
  ] as const) {
    assert.equal(alarm(name).period, 60);
    assert.equal(alarm(name).evaluation_periods, minutes);
  }
  assert.match(alarm('waiting-long').alarm_description, /never empty for 30 minutes/);
  assert.equal(alarm('refused').period, 900);
});

for (const look of [1, 2, 5, 7, 20, 60]) {
  for (const age of [1, 30, 1440]) {
    test(`alarms on the queue see what lasts at a look each ${look} minutes, and no more than that (age ${age})`, () => {
      const alarm = alarmsOf({ controller_mode: 'schedule', controller_minutes: look, queue_age_minutes: age });
      for (const name of ['orphaned', 'waiting-long']) {
        const { period, evaluation_periods } = alarm(name);
        const span = (period / 60) * evaluation_periods;
        assert.ok(
          period * evaluation_periods <= (period < 3600 ? 86_400 : 604_800),
          `${period} × ${evaluation_periods}`,
        );
        assert.ok(name === 'orphaned' || span >= Math.min(age, 1440 - 2 * look), `${span} minutes`);
        // Every second look is told a minute late, if there is a minute.
        const told = (i: number) => i * look + (look > 1 ? i % 2 : 0);
        const all = Array.from({ length: Math.ceil(span / look) + 9 }, (_, i) => i);
        const lasting = new Map(all.map((i) => [told(i), 3]));
        for (let now = span; now < span + 8 * look; now += 1)
          assert.ok(fires(alarm(name), lasting, now), `minute ${now}`);
        const once = new Map(all.map((i) => [told(i), i === 2 ? 3 : 0]));
        for (let now = span; now < span + 8 * look; now += 1)
          assert.ok(!fires(alarm(name), once, now), `minute ${now}`);
      }
      for (const name of ['refused', 'failed-starts']) assert.ok(alarm(name).period / 60 > 3 * look, name);
    });
  }
}

test('the page on AWS gives the times that are the defaults', async () => {
  const page = await readFile(path.join(terraformRoot, '../docs/terraform.md'), 'utf8');
  for (const name of ['worker_idle_seconds', 'instance_idle_seconds']) {
    const usual = byPath(modules).get('.')!.variables.get(name)!['default'];
    assert.ok(page.includes(`\`${name}\` (${usual})`), `${name} is ${usual}`);
  }
});

test('no interruption is made on purpose in production', () => {
  const root = exampleDeployment(modules, { ...exampleInputs, environment: 'production' });
  assert.equal(root.child('identity').output('fault_role_arn'), null);
  assert.equal(root.output('spot_experiment_id'), null);
});
