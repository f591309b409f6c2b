import type { Finding, Rule } from '../finding.ts';
import type { Workload } from '../manifest.ts';
import { objectOf } from '../tree.ts';
import { rightsOf } from './access.ts';

const policy = 'longhaul-jobs';
const parameters = 'longhaul-job-policy';

/** Where the controller may create Jobs, admission holds it to workers, and lets its own templates pass. */
export const admission: Rule = ({ manifests, workloads }) => {
  const mayCreate = manifests.some((one) => one.kind === 'Role' && rightsOf(one).includes('batch/jobs create'));
  if (!mayCreate) return [];
  const found: Finding[] = [];
  const say = (object: string, text: string) => found.push({ rule: 'admission', object, text });
  for (const kind of ['ValidatingAdmissionPolicy', 'ValidatingAdmissionPolicyBinding']) {
    if (!manifests.some((one) => one.kind === kind && one.metadata.name === policy))
      say(`${kind}/${policy}`, 'is not there');
  }
  const data = manifests.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === parameters)?.['data'];
  const { image, secrets } = objectOf(data);
  const allowed = String(secrets ?? '').split(' ');
  for (const { name, labels, pod, job } of workloads) {
    if (job === null || labels['app.kubernetes.io/name'] !== 'longhaul-worker') continue;
    for (const container of pod.containers) {
      if (container.image !== image) say(name, `its image ${container.image} is not that of ConfigMap/${parameters}`);
    }
    for (const secret of wholeSecretsOf(pod)) say(name, `takes Secret/${secret} whole, which no worker may`);
    for (const secret of secretsOf(pod).filter((one) => !allowed.includes(one))) {
      say(name, `reads Secret/${secret}, which ConfigMap/${parameters} does not allow`);
    }
  }
  return found;
};

function secretsOf({ containers }: Workload['pod']): readonly string[] {
  return containers.flatMap(({ env }) => env.flatMap(({ valueFrom }) => valueFrom?.secretKeyRef?.name ?? []));
}

function wholeSecretsOf({ initContainers, containers }: Workload['pod']): readonly string[] {
  return [...initContainers, ...containers].flatMap(({ envFrom }) =>
    envFrom.flatMap(({ secretRef }) => secretRef?.name ?? []),
  );
}
