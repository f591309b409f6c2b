import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { before, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { check } from '../../scripts/kubernetes/check.ts';
import { jobTemplateOf, jobTemplateText, markets } from '../../scripts/kubernetes/job-template.ts';
import { render } from '../../scripts/kubernetes/kustomize.ts';
import { type Manifest, nameOf } from '../../scripts/kubernetes/manifest.ts';
import type { Tree, TreeObject } from '../../scripts/kubernetes/tree.ts';
import { childOf, type Fault, type Overlay, pod, put, scaled, worker } from '../support/kubernetes-faults/fault.ts';
import { nodeFaults } from '../support/kubernetes-faults/nodes.ts';
import { objectFaults } from '../support/kubernetes-faults/objects.ts';
import { podFaults } from '../support/kubernetes-faults/pods.ts';
import { referenceFaults } from '../support/kubernetes-faults/references.ts';
import { rightFaults } from '../support/kubernetes-faults/rights.ts';
import { scalingFaults } from '../support/kubernetes-faults/scaling.ts';
import { settingFaults } from '../support/kubernetes-faults/settings.ts';

const overlays = path.resolve(import.meta.dirname, '../../infra/kubernetes/overlays');

const rendered = new Map<Overlay, readonly Manifest[]>();

before(async () => {
  for (const overlay of ['eks', 'eks-keda'] as const) {
    rendered.set(overlay, await render(path.join(overlays, overlay)));
  }
});

const faults: readonly Fault[] = [
  ...objectFaults,
  ...podFaults,
  ...nodeFaults,
  ...referenceFaults,
  ...rightFaults,
  ...settingFaults,
  ...scalingFaults,
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
