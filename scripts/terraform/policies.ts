import type { Fault } from './configuration.ts';
import type { Rendered } from './example-deployment.ts';

/** Statements that name every resource, or every one of a kind, and why they cannot name fewer. */
const everything: Readonly<Record<string, string>> = {
  'modules/keys: key IamDecides': 'in the policy of a key, * is that key',
  'modules/keys: key Logs': 'in the policy of a key, * is that key',
  'modules/keys: key Alarms': 'in the policy of a key, * is that key',
  'modules/identity: controller ListWorkers': 'ecs:ListTasks names no resource; its cluster is a condition',
  'modules/identity: operator RegistryLogin': 'ecr:GetAuthorizationToken knows no resources',
  'modules/identity: start["api"] RegistryLogin': 'ecr:GetAuthorizationToken knows no resources',
  'modules/identity: start["controller"] RegistryLogin': 'ecr:GetAuthorizationToken knows no resources',
  'modules/identity: start["worker"] RegistryLogin': 'ecr:GetAuthorizationToken knows no resources',
  'modules/identity: fault Find': 'ec2:DescribeInstances knows no resources',
  'modules/identity: fault Interrupt': 'instances come and go; the tag of the deployment is a condition',
};

/** Statements that let in everybody, and why that is nobody new: a policy of an endpoint only narrows. */
const everybody: Readonly<Record<string, string>> = {
  'modules/network: s3_endpoint OwnBuckets':
    'what an endpoint lets through must be allowed by the caller’s own policy as well',
  'modules/network: s3_endpoint LayersOfImages': 'the layers are signed for, one by one, by ECR',
};

/** No action by a pattern, not every resource (of a kind) without a reason, nobody let in by name of everybody, and no reason left over. */
export function checkPolicies(rendered: readonly Rendered[]): Fault[] {
  const faults: Fault[] = [];
  const met = new Set<string>();
  for (const { where, policy } of rendered) {
    if (policy.Statement.length === 0) faults.push({ check: 'policies', where, text: 'says nothing' });
    for (const one of policy.Statement) {
      const at = `${where} ${one.Sid}`;
      const fault = (text: string) => faults.push({ check: 'policies', where: at, text });
      if (one.Sid === '') fault('has no sid');
      if (one.Action.length === 0) fault('names no action');
      for (const action of one.Action) {
        if (/[*?]/.test(action) || !/^[a-z0-9-]+:[A-Za-z]+$/.test(action))
          fault(`the action ${action} is a pattern, or none`);
      }
      if (one.Effect !== 'Allow') continue;
      if (one.NotResource !== undefined) fault('allows by not_resources, which is all that nobody thought of');
      if (one.Resource?.some(isEverything) === true) {
        met.add(at);
        if (everything[at] === undefined)
          fault('names every resource, and no reason is told in scripts/terraform/policies.ts');
      }
      const people = Object.values(one.Principal ?? {}).flat();
      if (people.includes('*')) {
        met.add(at);
        if (everybody[at] === undefined)
          fault('lets in everybody, and no reason is told in scripts/terraform/policies.ts');
      }
      const services = one.Principal?.['Service'] ?? [];
      const bounded = Object.values(one.Condition).some((keys) =>
        Object.keys(keys).some((key) => /^(aws:Source(Account|Arn)|kms:EncryptionContext)/.test(key)),
      );
      // EC2 itself is the caller for an instance, and sends no source.
      if (services.some((service) => service !== 'ec2.amazonaws.com') && !bounded) {
        fault(`lets in ${services.join(', ')} for whoever asks it to: aws:SourceAccount or aws:SourceArn is missing`);
      }
    }
  }
  for (const at of [...Object.keys(everything), ...Object.keys(everybody)]) {
    if (!met.has(at))
      faults.push({
        check: 'policies',
        where: at,
        text: 'has a reason in scripts/terraform/policies.ts and does not need it',
      });
  }
  return faults;
}

/**
 * Whether it stands for all that there is: `*`, all of a service (`arn:aws:s3:::*`), or all of one kind in it
 * (`arn:aws:ec2:REGION:ACCOUNT:instance/*`). S3's ARNs name no kind: what stands before the `/` is a bucket.
 */
function isEverything(resource: string): boolean {
  const [, partition, service, , , ...rest] = resource.split(':');
  const name = rest.join(':');
  if (name === '' || `${partition}${service}`.includes('*')) return resource.includes('*');
  return /^[*?]/.test(name) || (service !== 's3' && /^[a-z-]+[/:][*?]+$/.test(name));
}
