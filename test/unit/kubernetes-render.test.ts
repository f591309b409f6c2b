import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { kubectlKustomize, kubectlRender } from '../../scripts/kubernetes/kubectl.ts';
import { render } from '../../scripts/kubernetes/kustomize.ts';
import { applied, isLocal, type Manifest, nameOf } from '../../scripts/kubernetes/manifest.ts';

const overlays = path.resolve(import.meta.dirname, '../../infra/kubernetes/overlays');
const names = (await readdir(overlays)).sort();
const kubectl = await kubectlKustomize();

const byName = (manifests: readonly Manifest[]) =>
  Object.fromEntries(manifests.map((one) => [`${one.apiVersion} ${nameOf(one)}`, one] as const).sort());

for (const overlay of names) {
  test(`${overlay}: what is rendered here is what kubectl renders`, {
    skip: kubectl === null && 'no kubectl on this machine',
  }, async () => {
    const dir = path.join(overlays, overlay);
    assert.deepEqual(byName(applied(await render(dir))), byName(await kubectlRender(dir)));
  });

  test(`${overlay}: what a worker is stays at home`, async () => {
    const manifests = await render(path.join(overlays, overlay));
    const local = manifests.filter(isLocal).map(nameOf);
    assert.deepEqual(local, ['Job/longhaul-worker']);
  });
}

/** A kustomization out of files. */
async function written(t: { after(f: () => Promise<void>): void }, files: Record<string, string>): Promise<string> {
  const dir = await mkdtemp(path.join(tmpdir(), 'longhaul-kustomize-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(dir, name)), { recursive: true });
    await writeFile(path.join(dir, name), text);
  }
  return dir;
}

const head = 'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n';
const settings = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: n}\ndata: {x: "1"}\n';

test('a field of kustomize that is not known here is refused by name', async (t) => {
  const dir = await written(t, { 'kustomization.yaml': `${head}namePrefix: x-\n` });
  await assert.rejects(render(dir), /namePrefix/);
});

test('a patch of what is not there is refused', async (t) => {
  const dir = await written(t, {
    'kustomization.yaml': `${head}resources: [a.yaml]\npatches: [{path: p.yaml}]\n`,
    'a.yaml': settings,
    'p.yaml': settings.replace('name: a', 'name: b'),
  });
  await assert.rejects(render(dir), /ConfigMap\/b/);
});

test('an object that comes twice is refused', async (t) => {
  const dir = await written(t, {
    'kustomization.yaml': `${head}resources: [a.yaml, b.yaml]\n`,
    'a.yaml': settings,
    'b.yaml': settings,
  });
  await assert.rejects(render(dir), /twice/);
});

test('a replacement from what is not there is refused', async (t) => {
  const dir = await written(t, {
    'kustomization.yaml': `${head}resources: [a.yaml]
replacements:
  - source: {kind: ConfigMap, name: a, fieldPath: data.y}
    targets: [{select: {kind: ConfigMap, name: a}, fieldPaths: [data.x]}]
`,
    'a.yaml': settings,
  });
  await assert.rejects(render(dir), /data\.y/);
});

test('a file that is no YAML is named', async (t) => {
  const dir = await written(t, { 'kustomization.yaml': `${head}resources: [a.yaml]\n`, 'a.yaml': 'a: [1\n' });
  await assert.rejects(render(dir), /a\.yaml/);
});
