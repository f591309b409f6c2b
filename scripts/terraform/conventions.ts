import type { Body, Configuration, Fault, Json } from './configuration.ts';

/** What holds for every module: names are explained, inputs are checked, versions are pinned, and the text is tidy. */
export function checkConventions(module: Configuration): Fault[] {
  return [...declarations(module), ...versions(module), ...tidy(module), ...safeguards(module)];
}

function declarations(module: Configuration): Fault[] {
  const faults: Fault[] = [];
  const fault = (where: string, text: string) =>
    faults.push({ check: 'conventions', where: `${module.path}: ${where}`, text });
  const described = (where: string, body: Body) => {
    if (!/^[A-Z].*[.:]/s.test(String(body['description'] ?? ''))) fault(where, 'has no description that is a sentence');
  };
  for (const [name, body] of module.variables) {
    described(`variable.${name}`, body);
    if (body['type'] === undefined || String(body['type']).includes('any')) fault(`variable.${name}`, 'has no type');
    if (everyAddress.test(JSON.stringify(body['default'] ?? null)))
      fault(`variable.${name}`, 'is all the world unless it is set');
    const rules = (body['validation'] ?? []) as Body[];
    if (rules.length === 0) fault(`variable.${name}`, 'has no validation');
    for (const rule of rules) {
      if (!String(rule['condition']).includes(`var.${name}`))
        fault(`variable.${name}`, 'has a validation that does not look at it');
    }
  }
  for (const [name, body] of module.outputs) described(`output.${name}`, body);
  return faults;
}

function versions(module: Configuration): Fault[] {
  const text = JSON.stringify(module.terraform);
  const faults: Fault[] = [];
  if (!text.includes('"required_version":">= 1.11.0, < 2.0.0"'))
    faults.push({ check: 'conventions', where: module.path, text: 'does not pin the version of Terraform' });
  if (!text.includes('"version":"~> 6.66"'))
    faults.push({ check: 'conventions', where: module.path, text: 'does not pin the AWS provider to ~> 6.66' });
  return faults;
}

/** The part of `terraform fmt` that can be told line by line, for machines without terraform. */
function tidy(module: Configuration): Fault[] {
  return module.files.flatMap(({ name, text }) => {
    const fault = (line: number, what: string): Fault => ({
      check: 'formatting',
      where: `${module.path}/${name}:${line}`,
      text: what,
    });
    const lines = text.split('\n');
    const faults = lines.flatMap((line, i) => {
      if (/\t/.test(line)) return [fault(i + 1, 'has a tab')];
      if (/\s$/.test(line)) return [fault(i + 1, 'ends with a space')];
      if ((/^ */.exec(line)?.[0].length ?? 0) % 2 === 1)
        return [fault(i + 1, 'is indented by an odd number of spaces')];
      if (line === '' && lines[i + 1] === '' && i + 2 < lines.length)
        return [fault(i + 1, 'is the first of two empty lines')];
      return [];
    });
    return text.endsWith('\n') ? faults : [...faults, fault(lines.length, 'does not end with a line feed')];
  });
}

/** Arguments without which a resource keeps something in the clear, or for ever, or lets the world in. */
const safe: Readonly<Record<string, Readonly<Record<string, (value: Json | undefined) => boolean>>>> = {
  aws_cloudwatch_log_group: { kms_key_id: isSet, retention_in_days: isSet },
  aws_ecr_repository: { encryption_configuration: isSet, image_tag_mutability: is('IMMUTABLE') },
  aws_ecs_task_definition: { execution_role_arn: isSet, task_role_arn: isSet },
  aws_elasticache_replication_group: {
    at_rest_encryption_enabled: is(true),
    kms_key_id: isSet,
    transit_encryption_enabled: is(true),
    transit_encryption_mode: is('required'),
    user_group_ids: isSet,
  },
  aws_kms_key: { enable_key_rotation: is(true), policy: isSet },
  aws_lb: { drop_invalid_header_fields: is(true) },
  aws_lb_listener: { protocol: is('HTTPS'), certificate_arn: isSet },
  aws_s3_bucket_public_access_block: {
    block_public_acls: is(true),
    block_public_policy: is(true),
    ignore_public_acls: is(true),
    restrict_public_buckets: is(true),
  },
  aws_secretsmanager_secret: { kms_key_id: isSet },
  aws_sns_topic: { kms_master_key_id: isSet },
};

/** Secrets that would be written into the state in the clear. */
const inTheClear = ['secret_string', 'passwords', 'auth_token', 'password'];

/** What lets connections in, of each type of resource that can. */
const ingress: Readonly<Record<string, (body: Body) => Json>> = {
  aws_default_security_group: (body) => body['ingress'] ?? null,
  aws_security_group: (body) => body['ingress'] ?? null,
  aws_security_group_rule: (body) => (body['type'] === 'egress' ? null : body),
  aws_vpc_security_group_ingress_rule: (body) => body,
};

/** Every address there is: who may come in is the caller's to say, by a variable that has no such default. */
const everyAddress = /(?<![\w.:])[\d.a-f:]*[.:][\d.a-f:]*\/0(?!\d)/i;

function safeguards(module: Configuration): Fault[] {
  return module.resources.flatMap(({ kind, type, name, body }) => {
    if (kind !== 'resource') return [];
    const where = `${module.path}: ${type}.${name}`;
    const world = everyAddress.exec(JSON.stringify(ingress[type]?.(body) ?? null));
    const wrong = Object.entries(safe[type] ?? {}).filter(([argument, holds]) => !holds(body[argument]));
    const open = inTheClear.filter((argument) => body[argument] !== undefined);
    return [
      ...(world === null
        ? []
        : [{ check: 'safeguards', where, text: `lets in the world, by ${world[0]}` } satisfies Fault]),
      ...wrong.map(
        ([argument]): Fault => ({
          check: 'safeguards',
          where,
          text: `${argument} is not as it must be: ${JSON.stringify(body[argument]) ?? 'not set'}`,
        }),
      ),
      ...open.map(
        (argument): Fault => ({
          check: 'safeguards',
          where,
          text: `${argument} would stand in the state: use ${argument}_wo`,
        }),
      ),
    ];
  });
}

function isSet(value: Json | undefined): boolean {
  return value !== undefined && value !== null && value !== '';
}

function is(wanted: Json): (value: Json | undefined) => boolean {
  return (value) => value === wanted;
}
