import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { before, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { check } from '../../scripts/kubernetes/check.ts';
import { jobTemplateOf, jobTemplateText, markets } from '../../scripts/kubernetes/job-template.ts';
import { render } from '../../scripts/kubernetes/kustomize.ts';
import { type Manifest, nameOf } from '../../scripts/kubernetes/manifest.ts';
import { isObject, type Tree, type TreeObject } from '../../scripts/kubernetes/tree.ts';

const overlays = path.resolve(import.meta.dirname, '../../infra/kubernetes/overlays');

type Overlay = 'eks' | 'eks-keda';
const rendered = new Map<Overlay, readonly Manifest[]>();

before(async () => {
  for (const overlay of ['eks', 'eks-keda'] as const) {
    rendered.set(overlay, await render(path.join(overlays, overlay)));
  }
});

/** Sets what stands at a path of an object: names and indices joined by dots; undefined takes it out. */
function put(tree: Tree, at: string, value: Tree | undefined): void {
  const keys = at.split('.');
  const last = keys.pop()!;
  let parent: Tree | undefined = tree;
  for (const key of keys) parent = childOf(parent, key);
  if (Array.isArray(parent)) {
    if (value === undefined) parent.splice(Number(last), 1);
    else parent[Number(last)] = value;
  } else {
    assert.ok(isObject(parent), `nothing stands above ${at}`);
    if (value === undefined) {
      assert.ok(last in parent, `nothing stands at ${at}`);
      delete parent[last];
    } else parent[last] = value;
  }
}

function childOf(tree: Tree | undefined, key: string): Tree | undefined {
  if (Array.isArray(tree)) return tree[Number(key)];
  return isObject(tree) ? tree[key] : undefined;
}

const pod = 'spec.template.spec';
const container = `${pod}.containers.0`;

/** [what is wrong, overlay, object, path, value, the rule that must find it, in its words] */
type Fault = readonly [string, Overlay, string, string, Tree | undefined, string, RegExp];

const api = 'Deployment/longhaul-api';
const controller = 'Deployment/longhaul-controller';
const scaled = 'ScaledJob/longhaul-worker';
/** The Job out of the controller's template. */
const worker = 'Job/longhaul-worker';

const faults: readonly Fault[] = [
  ['a misspelt field', 'eks', api, `${container}.imagePullPolcy`, 'Always', 'unknown field', /imagePullPolcy/],
  [
    'a misspelt field of a probe',
    'eks',
    api,
    `${container}.livenessProbe.httpGet.prt`,
    1,
    'unknown field',
    /httpGet\.prt/,
  ],
  ['a misspelt field of a worker', 'eks', worker, `${pod}.nodeSelecter`, {}, 'unknown field', /nodeSelecter/],
  [
    'a misspelt field within a ScaledJob',
    'eks-keda',
    scaled,
    'spec.jobTargetRef.template.spec.containers.0.comand',
    [],
    'unknown field',
    /comand/,
  ],
  ['a wrong type', 'eks', api, 'spec.replicas', 'two', 'schema', /replicas/],
  ['a missing field', 'eks', api, 'spec.selector', undefined, 'schema', /selector/],
  ['a misspelt field of KEDA', 'eks-keda', scaled, 'spec.maxReplicas', 3, 'schema', /maxReplicas/],
  ['a missing field of KEDA', 'eks-keda', scaled, 'spec.triggers', undefined, 'schema', /triggers/],
  [
    'a misspelt field of a trigger',
    'eks-keda',
    scaled,
    'spec.triggers.0.metadata.listLenght',
    '1',
    'schema',
    /listLenght/,
  ],
  ['a misspelt field of Karpenter', 'eks', 'NodePool/longhaul-worker-spot', 'spec.limit', {}, 'schema', /limit/],
  [
    'a floating machine image',
    'eks',
    'EC2NodeClass/longhaul-worker',
    'spec.amiSelectorTerms.0.alias',
    'al2023@latest',
    'schema',
    /version/,
  ],
  ['root', 'eks', api, `${pod}.securityContext.runAsNonRoot`, false, 'restricted', /runAsNonRoot/],
  ['the user 0', 'eks', api, `${pod}.securityContext.runAsUser`, 0, 'restricted', /runAsUser/],
  ['no seccomp', 'eks', api, `${pod}.securityContext.seccompProfile`, undefined, 'restricted', /seccomp/],
  [
    'a writable root',
    'eks',
    worker,
    `${container}.securityContext.readOnlyRootFilesystem`,
    false,
    'restricted',
    /readOnly/,
  ],
  [
    'a way to more rights',
    'eks',
    api,
    `${container}.securityContext.allowPrivilegeEscalation`,
    true,
    'restricted',
    /Escalation/,
  ],
  ['privileged', 'eks', api, `${container}.securityContext.privileged`, true, 'restricted', /privileged/],
  ['kept capabilities', 'eks', api, `${container}.securityContext.capabilities.drop`, [], 'restricted', /capabilities/],
  [
    'an added capability',
    'eks',
    api,
    `${container}.securityContext.capabilities.add`,
    ['SYS_PTRACE'],
    'restricted',
    /adds/,
  ],
  ["the host's network", 'eks', worker, `${pod}.hostNetwork`, true, 'restricted', /hostNetwork/],
  ["the host's port", 'eks', api, `${container}.ports.0.hostPort`, 8080, 'restricted', /hostPort 8080/],
  [
    "the host's files",
    'eks',
    worker,
    `${pod}.volumes.0`,
    { name: 'tmp', hostPath: { path: '/' } },
    'restricted',
    /hostPath/,
  ],
  ['the newest image', 'eks', api, `${container}.image`, 'longhaul-control:latest', 'images', /no version/],
  ['an image without a version', 'eks', worker, `${container}.image`, 'longhaul-worker', 'images', /no version/],
  ['an image by its tag', 'eks', api, `${container}.image`, 'longhaul-control:0.1.0', 'images', /digest/],
  ['no memory asked for', 'eks', api, `${container}.resources.requests.memory`, undefined, 'resources', /memory/],
  ['no bound of memory', 'eks', worker, `${container}.resources.limits.memory`, undefined, 'resources', /memory/],
  [
    'two numbers of GPUs',
    'eks',
    worker,
    `${container}.resources.requests`,
    { cpu: '1', memory: '1Gi', 'ephemeral-storage': '1Gi' },
    'resources',
    /GPU/,
  ],
  ['a volume without a bound', 'eks', api, `${pod}.volumes.0.emptyDir`, {}, 'resources', /emptyDir/],
  ['no readiness', 'eks', worker, `${container}.readinessProbe`, undefined, 'probes', /readinessProbe/],
  [
    'readiness that is always there',
    'eks',
    worker,
    `${container}.readinessProbe.httpGet.path`,
    '/healthz',
    'probes',
    /readyz/,
  ],
  ['a probe of another port', 'eks', api, `${container}.livenessProbe.httpGet.port`, 80, 'probes', /metrics/],
  ['a metrics port of its own', 'eks', api, `${container}.ports.1.containerPort`, 9000, 'probes', /9464/],
  ['the default grace', 'eks', worker, `${pod}.terminationGracePeriodSeconds`, undefined, 'lifetime', /110/],
  ['workers tried again', 'eks', worker, 'spec.backoffLimit', 6, 'lifetime', /backoffLimit/],
  ['workers restarted', 'eks', worker, `${pod}.restartPolicy`, 'OnFailure', 'lifetime', /restartPolicy/],
  ['a deadline of workers', 'eks', worker, 'spec.activeDeadlineSeconds', 3600, 'lifetime', /activeDeadline/],
  ['Jobs that stay', 'eks', worker, 'spec.ttlSecondsAfterFinished', undefined, 'lifetime', /ttl/],
  [
    'a disruption that counts',
    'eks',
    worker,
    'spec.podFailurePolicy.rules.0.action',
    'Count',
    'lifetime',
    /Disruption/,
  ],
  [
    'a node that Karpenter may take',
    'eks',
    worker,
    'spec.template.metadata.annotations',
    {},
    'lifetime',
    /do-not-disrupt/,
  ],
  [
    'nodes that a spot notice takes with their workers',
    'eks',
    'NodePool/longhaul-worker-spot',
    'spec.template.spec.terminationGracePeriod',
    undefined,
    'nodes',
    /no terminationGracePeriod/,
  ],
  [
    'nodes that give a worker less than its grace',
    'eks',
    'NodePool/longhaul-worker-on-demand',
    'spec.template.spec.terminationGracePeriod',
    '1m30s',
    'nodes',
    /90 s/,
  ],
  [
    'nodes that outlast a spot notice',
    'eks',
    'NodePool/longhaul-worker-spot',
    'spec.template.spec.terminationGracePeriod',
    '1h',
    'nodes',
    /3600 s/,
  ],
  [
    'a grace of nodes that never ends',
    'eks',
    'NodePool/longhaul-worker-spot',
    'spec.template.spec.terminationGracePeriod',
    'Never',
    'schema',
    /terminationGracePeriod/,
  ],
  [
    'nodes that are replaced under their workers',
    'eks',
    'NodePool/longhaul-worker-spot',
    'spec.disruption.budgets',
    undefined,
    'nodes',
    /Drifted/,
  ],
  [
    'nodes of which one at a time is replaced under its workers',
    'eks-keda',
    'NodePool/longhaul-worker-on-demand',
    'spec.disruption.budgets.1.nodes',
    '1',
    'nodes',
    /Drifted/,
  ],
  [
    'a misspelt reason of a budget',
    'eks',
    'NodePool/longhaul-worker-spot',
    'spec.disruption.budgets.1.reasons',
    ['Drift'],
    'schema',
    /reasons/,
  ],
  [
    'a missing ConfigMap',
    'eks',
    api,
    `${container}.envFrom.0.configMapRef.name`,
    'settings',
    'references',
    /ConfigMap\/settings/,
  ],
  [
    'a missing Secret',
    'eks',
    api,
    `${container}.env.0.valueFrom.secretKeyRef.name`,
    'redis',
    'references',
    /Secret\/redis/,
  ],
  [
    'a missing key of a Secret',
    'eks',
    api,
    `${container}.env.0.valueFrom.secretKeyRef.key`,
    'uri',
    'references',
    /key uri/,
  ],
  [
    'a missing ServiceAccount',
    'eks',
    worker,
    `${pod}.serviceAccountName`,
    'worker',
    'references',
    /ServiceAccount\/worker/,
  ],
  ['a missing class', 'eks', worker, `${pod}.priorityClassName`, 'gpu', 'references', /PriorityClass\/gpu/],
  [
    'a missing TriggerAuthentication',
    'eks-keda',
    scaled,
    'spec.triggers.1.authenticationRef.name',
    'x',
    'references',
    /TriggerAuthentication/,
  ],
  [
    'a missing key of KEDA',
    'eks-keda',
    'TriggerAuthentication/longhaul-redis-keda',
    'spec.secretTargetRef.0.key',
    'x',
    'references',
    /key x/,
  ],
  [
    'a mount of a volume that is not',
    'eks',
    worker,
    `${container}.volumeMounts.1.name`,
    'weights',
    'references',
    /mounts the volume weights/,
  ],
  [
    'an autoscaler of nothing',
    'eks',
    'HorizontalPodAutoscaler/longhaul-api',
    'spec.scaleTargetRef.name',
    'api',
    'references',
    /Deployment\/api/,
  ],
  ['another namespace', 'eks', 'Service/longhaul-api', 'metadata.namespace', 'default', 'references', /default/],
  ['no namespace', 'eks', api, 'metadata.namespace', undefined, 'references', /namespace/],
  [
    'a Deployment that does not know its pods',
    'eks',
    api,
    'spec.selector.matchLabels',
    { a: 'b' },
    'selectors',
    /its own pods/,
  ],
  ['a Service of nobody', 'eks', 'Service/longhaul-api', 'spec.selector', { app: 'api' }, 'selectors', /no pod/],
  [
    'a Service of a port that is not',
    'eks',
    'Service/longhaul-api',
    'spec.ports.0.targetPort',
    'https',
    'selectors',
    /port https/,
  ],
  [
    'a budget that Jobs do not understand',
    'eks',
    'PodDisruptionBudget/longhaul-worker',
    'spec.minAvailable',
    '100%',
    'budgets',
    /minAvailable/,
  ],
  [
    'a budget of others',
    'eks',
    'PodDisruptionBudget/longhaul-worker',
    'spec.selector.matchLabels',
    { 'app.kubernetes.io/name': 'longhaul-api' },
    'budgets',
    /no PodDisruptionBudget/,
  ],
  [
    'pods outside of every policy',
    'eks',
    'NetworkPolicy/default-deny',
    'spec.podSelector',
    { matchLabels: { a: 'b' } },
    'network',
    /by default/,
  ],
  ['egress that is open', 'eks', 'NetworkPolicy/default-deny', 'spec.policyTypes', ['Ingress'], 'network', /Egress/],
  [
    "the machine's metadata",
    'eks',
    'NetworkPolicy/https',
    'spec.egress.0.to.0.ipBlock.except',
    [],
    'network',
    /169\.254\.169\.254/,
  ],
  ['egress to anywhere', 'eks', 'NetworkPolicy/dns', 'spec.egress.0.to', [], 'network', /everywhere/],
  ['egress on every port', 'eks', 'NetworkPolicy/https', 'spec.egress.0.ports', undefined, 'network', /every port/],
  [
    'egress on a port without its number',
    'eks',
    'NetworkPolicy/https',
    'spec.egress.0.ports.0.port',
    undefined,
    'network',
    /every port/,
  ],
  [
    'egress on a range of all ports',
    'eks',
    'NetworkPolicy/https',
    'spec.egress.0.ports.0',
    { protocol: 'TCP', port: 1, endPort: 65535 },
    'network',
    /every port/,
  ],
  [
    "the machine's metadata, by a range that begins with names",
    'eks',
    'NetworkPolicy/dns',
    'spec.egress.0',
    {
      to: [{ ipBlock: { cidr: '169.254.169.254/32' } }],
      ports: [{ protocol: 'TCP', port: 53, endPort: 80 }],
    },
    'network',
    /169\.254\.169\.254/,
  ],
  ['a wildcard', 'eks', 'Role/longhaul-controller', 'rules.0.verbs', ['*'], 'access', /wildcard/],
  [
    'rights to Secrets',
    'eks',
    'Role/longhaul-worker',
    'rules.0.resources',
    ['pods', 'secrets'],
    'access',
    /secrets get/,
  ],
  [
    'rights to change Jobs',
    'eks',
    'Role/longhaul-controller',
    'rules.0.verbs',
    ['create', 'get', 'list', 'patch'],
    'access',
    /jobs patch/,
  ],
  ['rights everywhere', 'eks', 'Role/longhaul-worker', 'kind', 'ClusterRole', 'access', /namespace alone/],
  ['a token without a right', 'eks', api, `${pod}.automountServiceAccountToken`, true, 'access', /no right/],
  ['a right without a token', 'eks', worker, `${pod}.automountServiceAccountToken`, false, 'access', /no token/],
  [
    'rights for nobody',
    'eks',
    'RoleBinding/longhaul-worker',
    'subjects.0.name',
    'nobody',
    'access',
    /no ServiceAccount/,
  ],
  [
    'rights of another process',
    'eks',
    'RoleBinding/longhaul-controller',
    'subjects.1',
    { kind: 'ServiceAccount', name: 'longhaul-worker', namespace: 'longhaul' },
    'access',
    /jobs create: is not among what longhaul-worker may do/,
  ],
  ['rights that nobody has', 'eks', 'RoleBinding/longhaul-worker', 'subjects', [], 'access', /bound to nobody/],
  [
    'rights that are written elsewhere',
    'eks',
    'RoleBinding/longhaul-worker',
    'roleRef.kind',
    'ClusterRole',
    'access',
    /binds ClusterRole\/longhaul-worker/,
  ],
  [
    'a setting that nobody knows',
    'eks',
    'ConfigMap/longhaul-worker-settings',
    'data.LONGHAUL_SLOT',
    '4',
    'settings',
    /LONGHAUL_SLOT is no setting/,
  ],
  [
    'a setting of another process',
    'eks',
    'ConfigMap/longhaul-api-settings',
    'data.LONGHAUL_SLOTS',
    '4',
    'settings',
    /LONGHAUL_SLOTS is no setting/,
  ],
  [
    'a value that is refused',
    'eks',
    'ConfigMap/longhaul-worker-settings',
    'data.LONGHAUL_SLOTS',
    'many',
    'settings',
    /LONGHAUL_SLOTS/,
  ],
  ['no store', 'eks', 'ConfigMap/longhaul-settings', 'data.LONGHAUL_STORE', undefined, 'settings', /LONGHAUL_STORE/],
  [
    'a password in the open',
    'eks',
    api,
    `${container}.env.0`,
    { name: 'LONGHAUL_REDIS_URL', value: 'redis://:pw@r:6379' },
    'settings',
    /Secret/,
  ],
  [
    'a password in a ConfigMap',
    'eks',
    'ConfigMap/longhaul-api-settings',
    'data.AWS_SECRET_ACCESS_KEY',
    'x',
    'settings',
    /AWS_SECRET_ACCESS_KEY stands in the manifest/,
  ],
  [
    'a password by a key of a ConfigMap',
    'eks',
    worker,
    `${container}.env.2.valueFrom`,
    { configMapKeyRef: { name: 'longhaul-settings', key: 'LONGHAUL_STORE' } },
    'settings',
    /LONGHAUL_REDIS_URL stands in the manifest/,
  ],
  [
    'a Secret taken whole, of keys that are no settings',
    'eks',
    api,
    `${container}.envFrom.0`,
    { secretRef: { name: 'longhaul-redis-api' } },
    'settings',
    /url is no setting/,
  ],
  [
    'a worker that takes a Secret whole',
    'eks',
    worker,
    `${container}.envFrom.0`,
    { secretRef: { name: 'longhaul-redis-worker' } },
    'admission',
    /whole/,
  ],
  [
    'no policy over what the controller creates',
    'eks',
    'ValidatingAdmissionPolicyBinding/longhaul-jobs',
    'metadata.name',
    'x',
    'admission',
    /not there/,
  ],
  [
    'a policy over another image',
    'eks',
    'ConfigMap/longhaul-job-policy',
    'data.image',
    'other@sha256:1',
    'admission',
    /image/,
  ],
  [
    'a worker that its policy refuses',
    'eks',
    'ConfigMap/longhaul-job-policy',
    'data.secrets',
    'longhaul-redis-api',
    'admission',
    /longhaul-redis-worker/,
  ],
  [
    'a misspelt field of the policy',
    'eks',
    'ValidatingAdmissionPolicy/longhaul-jobs',
    'spec.validations.0.expresion',
    'true',
    'unknown field',
    /expresion/,
  ],
  [
    'a model that nobody looks after',
    'eks',
    'ConfigMap/longhaul-controller-settings',
    'data.LONGHAUL_MODELS',
    'other',
    'scaling',
    /LONGHAUL_MODELS/,
  ],
  ['nobody who starts workers', 'eks', controller, `${container}.env`, [], 'scaling', /nothing starts/],
  ['a place without a trigger', 'eks-keda', scaled, 'spec.triggers.3', undefined, 'scaling', /fair:jobs/],
  [
    'active as demand',
    'eks-keda',
    scaled,
    'spec.triggers.0.metadata.listName',
    '{longhaul}:falcon-mamba-7b-instruct:active',
    'scaling',
    /active/,
  ],
  [
    "another model's line",
    'eks-keda',
    scaled,
    'spec.triggers.2.metadata.listName',
    '{longhaul}:tiny-english:delayed',
    'scaling',
    /tiny-english/,
  ],
  [
    'triggers of which the longest counts',
    'eks-keda',
    scaled,
    'spec.scalingStrategy.multipleScalersCalculation',
    'max',
    'scaling',
    /summed/,
  ],
  [
    'a strategy that subtracts busy workers',
    'eks-keda',
    scaled,
    'spec.scalingStrategy.strategy',
    'default',
    'scaling',
    /accurate/,
  ],
  [
    'loading workers taken for busy ones',
    'eks-keda',
    scaled,
    'spec.scalingStrategy.pendingPodConditions',
    [],
    'scaling',
    /Ready/,
  ],
  ['a worker for each job', 'eks-keda', scaled, 'spec.triggers.0.metadata.listLength', '1', 'scaling', /slots/],
];

/** The overlay with one thing changed. A change of the worker is one of the template that the controller starts from. */
function planted([, overlay, object, at, value]: Fault): readonly Manifest[] {
  const manifests = structuredClone(rendered.get(overlay)!) as Manifest[];
  if (object !== worker) {
    const found = manifests.find((manifest) => nameOf(manifest) === object);
    assert.ok(found, `${overlay} has no ${object}`);
    put(found as unknown as Tree, at, value);
    return manifests;
  }
  const local = manifests.find((manifest) => nameOf(manifest) === worker)!;
  put(local as unknown as Tree, at, value);
  const template = manifests.find(({ metadata }) => metadata.name === 'longhaul-job-template')!;
  template['data'] = { 'job-template.yaml': jobTemplateText(manifests, 'spot')! };
  return manifests;
}

const told = async (manifests: readonly Manifest[]) => (await check(manifests)).findings;

for (const overlay of (await readdir(overlays)).sort()) {
  test(`${overlay}: nothing is wrong`, async () => {
    assert.deepEqual(await told(await render(path.join(overlays, overlay))), []);
  });
}

test('every planted fault is found by its rule', async (t) => {
  for (const fault of faults) {
    const [what, , , , , rule, words] = fault;
    await t.test(what, async () => {
      const found = await told(planted(fault));
      assert.ok(
        found.some((finding) => finding.rule === rule && words.test(finding.text)),
        `${rule} does not say ${words}; found ${JSON.stringify(found, null, 1)}`,
      );
    });
  }
});

test('an overlay with both ways of scaling is refused', async () => {
  const manifests = [...rendered.get('eks')!];
  for (const kind of ['ScaledJob', 'TriggerAuthentication']) {
    manifests.push(rendered.get('eks-keda')!.find((manifest) => manifest.kind === kind)!);
  }
  const found = await told(manifests);
  assert.ok(found.some(({ rule, text }) => rule === 'scaling' && text.includes('so does KEDA')));
});

test('a template that was not written anew is refused', async () => {
  const manifests = structuredClone(rendered.get('eks')!) as Manifest[];
  const template = manifests.find(({ metadata }) => metadata.name === 'longhaul-job-template')!;
  const data = template['data'] as TreeObject;
  const job = parse(String(data['job-template.yaml'])) as TreeObject;
  put(job, `${pod}.nodeSelector`, { other: 'nodes' });
  template['data'] = { 'job-template.yaml': stringify(job) };
  assert.ok((await told(manifests)).some(({ rule }) => rule === 'job template'));
});

test('alerts that are not those of infra/telemetry are refused', async () => {
  const manifests = structuredClone(rendered.get('eks')!) as Manifest[];
  const rules = manifests.find(({ kind }) => kind === 'PrometheusRule')!;
  put(rules as unknown as Tree, 'spec.groups.0.name', 'others');
  assert.ok((await told(manifests)).some(({ rule }) => rule === 'alerts'));
});

const at = (overlay: Overlay, name: string, path: readonly string[]) => {
  const found = rendered.get(overlay)!.find((manifest) => nameOf(manifest) === name);
  return path.reduce<Tree | undefined>((tree, key) => childOf(tree, key), found as unknown as Tree);
};

test('what KEDA starts is the Job that the overlay says', () => {
  assert.deepEqual(at('eks-keda', scaled, ['spec', 'jobTargetRef']), at('eks', worker, ['spec']));
});

test('the controller starts the same Job, on the nodes of the market that it asks for', () => {
  const [spot, onDemand] = markets.map((market) => structuredClone(jobTemplateOf(rendered.get('eks')!, market)!));
  const selector = `${pod}.nodeSelector`.split('.');
  const nodes = [spot, onDemand].map((job) => selector.reduce<Tree | undefined>(childOf, job as unknown as Tree));
  assert.deepEqual(nodes, [
    { 'longhaul.dev/role': 'worker', 'karpenter.sh/capacity-type': 'spot' },
    { 'longhaul.dev/role': 'worker', 'karpenter.sh/capacity-type': 'on-demand' },
  ]);
  const job = structuredClone(at('eks', worker, ['spec'])!);
  for (const one of [job, spot!['spec'] as Tree, onDemand!['spec'] as Tree])
    put(one, 'template.spec.nodeSelector', undefined);
  assert.deepEqual(spot!['spec'], job);
  assert.deepEqual(onDemand!['spec'], job);
});

test('on AWS each key of the store and of the models is one that docs/iam.md gives rights to', async () => {
  for (const overlay of ['eks', 'eks-keda', 'gke', 'gke-keda']) {
    const manifests = await render(path.join(overlays, overlay));
    const settings = ['longhaul-settings', 'longhaul-worker-settings'].map((name) => {
      const found = manifests.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === name);
      return found?.['data'] as Record<string, string>;
    });
    const { LONGHAUL_STORE, LONGHAUL_MODEL } = Object.assign({}, ...settings) as Record<string, string>;
    assert.match(
      LONGHAUL_STORE!,
      /^s3:\/\/[^/]+$/,
      `${overlay}: the keys jobs/…, states/… are at the root of the bucket`,
    );
    assert.match(LONGHAUL_MODEL!, /^s3:\/\/[^/]+\/models\/[^/]+$/, `${overlay}: models are below models/`);
  }
});
