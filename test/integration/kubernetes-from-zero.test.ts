import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { openStore } from '@longhaul/core/ledger';
import { readScalingRecord } from '@longhaul/core/scaling';
import { render } from '../../scripts/kubernetes/kustomize.ts';
import { applied, Manifest, nameOf, type Workload, workloadOf } from '../../scripts/kubernetes/manifest.ts';
import { againstPublished } from '../../scripts/kubernetes/schema/published.ts';
import { unknownFields } from '../../scripts/kubernetes/schema/unknown-fields.ts';
import { clientOf, keyFor } from '../support/api-client.ts';
import { waitFor } from '../support/cluster.ts';
import { Kubelet } from '../support/kubelet.ts';
import { KubernetesServer } from '../support/kubernetes-server.ts';
import { startTestRedis } from '../support/redis.ts';
import { ledgerOn } from '../support/s3-ledger.ts';
import { startS3Server } from '../support/s3-server/index.ts';

const overlay = path.resolve(import.meta.dirname, '../../infra/kubernetes/overlays/local');
const namespace = 'longhaul';

const secret = (name: string, stringData: Record<string, string>): Manifest => ({
  ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace } },
  stringData,
});

/** Everything of overlays/local but its queue and its store, which are real ones of the test; Kubernetes itself is a stand-in. */
test('overlays/local: a request starts a worker by way of the controller and a Job, is answered, and the worker ends', async (t) => {
  const dir = await mkdtemp(path.join(tmpdir(), 'longhaul-kubernetes-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const [redis, s3, server] = await Promise.all([startTestRedis(), startS3Server(), KubernetesServer.start(namespace)]);
  t.after(() => Promise.all([redis.close(), s3.close(), server.close()]));
  const { options, env: s3Env } = ledgerOn(s3);
  const kubeconfig = path.join(dir, 'kubeconfig');
  await writeFile(kubeconfig, server.config.exportConfig());

  const { AWS_ACCESS_KEY_ID: user = '', AWS_SECRET_ACCESS_KEY: password = '', ...addresses } = s3Env;
  const manifests = [
    ...applied(await render(overlay)),
    ...['api', 'controller', 'worker'].map((who) => secret(`longhaul-redis-${who}`, { url: redis.url })),
    secret('longhaul-store', { user, password }),
  ];
  const quick = { LONGHAUL_SCALE_SECONDS: '0.3', LONGHAUL_DEMAND_SECONDS: '0.5', LONGHAUL_IDLE_EXIT_SECONDS: '5' };
  const env = { ...addresses, ...quick, LONGHAUL_PREEMPTION: 'none', KUBECONFIG: kubeconfig };
  const kubelet = new Kubelet({ manifests, dir, env });
  t.after(() => kubelet.close());
  const named = (name: string): Workload => workloadOf(manifests.find((one) => nameOf(one) === name)!)!;

  assert.equal(await (await kubelet.start(named('Job/local-bucket'), 'local-bucket-0')).ended(), 0);
  const store = await openStore('s3://longhaul/ledger', options);
  t.after(() => store.close());

  const [api, controller] = await Promise.all([
    kubelet.start(named('Deployment/longhaul-api'), 'longhaul-api-0'),
    kubelet.start(named('Deployment/longhaul-controller'), 'longhaul-controller-0'),
  ]);
  for (const pod of [api, controller])
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'] as const) {
      await pod.passes(probe);
    }
  assert.equal(server.jobs.size, 0, 'nothing waits, and nothing is started');

  const ask = clientOf(api.url('http'), await keyFor(store, 'default'));
  const answer = ask('POST', '/v1/completions', { model: 'tiny-english', prompt: 'The ship', max_tokens: 4 });
  const name = await waitFor(
    async () => [...server.jobs.keys()][0] ?? null,
    60_000,
    () => 'a Job to be created',
  );
  const job = Manifest.parse(JSON.parse(JSON.stringify(server.jobs.get(name))));
  delete job.metadata['creationTimestamp'];
  assert.deepEqual([await againstPublished(job), unknownFields(job)], [[], []]);

  const worker = await kubelet.start(workloadOf(job)!, `${name}-pod`, { 'batch.kubernetes.io/job-name': name });
  server.podOf(name, { phase: 'Running' });
  await worker.passes('readinessProbe');
  const { status, body } = await answer;
  assert.equal(status, 200, JSON.stringify(body));

  assert.equal(await worker.ended(), 0, 'idle for long enough, it ends as it should');
  server.end(name, 'Complete');
  const known = async () => {
    const { record } = await readScalingRecord({ store, clock: () => new Date() });
    return Object.keys(record.workers).length === 0 ? true : null;
  };
  await waitFor(known, 60_000, () => 'the controller to know of no worker');
  assert.deepEqual([...server.jobs.keys()], [name], 'one request took one worker');
  assert.deepEqual(await Promise.all([api.stop(), controller.stop()]), [0, 0]);
});
