import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '@longhaul/core/contracts';
import { KubernetesLauncher } from '../../infra/controller/scaling/launchers/kubernetes.ts';
import type { StartRequest } from '../../infra/controller/scaling/port.ts';
import { KubernetesServer } from '../support/kubernetes-server.ts';

const template = path.resolve(import.meta.dirname, '../../infra/kubernetes/overlays/eks/job-template.yaml');

async function setUp(t: TestContext, templateOf: (model: string) => string | undefined = () => template) {
  const server = await KubernetesServer.start();
  t.after(() => server.close());
  const launcher = new KubernetesLauncher({
    config: server.config,
    namespace: 'fleet',
    templateOf,
    clock: systemClock,
  });
  return { server, launcher };
}

const asks = (more: Partial<StartRequest> = {}): StartRequest => ({
  ...{ model: 'falcon_7b.', market: 'spot', count: 3, token: '0198c0de-0000-7000-8000-000000000001' },
  ...more,
});

test("workers are Jobs made from the overlay's template, known by labels, each by a name of its own", async (t) => {
  const { server, launcher } = await setUp(t);
  const { started, refused } = await launcher.start(asks());
  assert.equal(refused, null);
  assert.deepEqual(
    [...server.jobs.keys()],
    started.map(({ id }) => id),
  );
  const job = server.jobs.get(started[0]!.id)!;
  assert.match(job.metadata!.name!, /^longhaul-worker-[0-9a-f]{16}$/);
  assert.equal(job.metadata!.namespace, 'fleet');
  const ours = {
    'app.kubernetes.io/name': 'longhaul-worker',
    'app.kubernetes.io/part-of': 'longhaul',
    'app.kubernetes.io/managed-by': 'longhaul-controller',
    'longhaul.dev/model': 'falcon_7b',
    'longhaul.dev/market': 'spot',
  };
  assert.deepEqual(job.metadata!.labels, ours);
  assert.deepEqual(job.spec!.template.metadata!.labels, ours);
  assert.deepEqual(job.metadata!.annotations, { 'longhaul.dev/model': 'falcon_7b.' });
  assert.equal(job.spec!.backoffLimit, 0);
  assert.equal(job.spec!.template.spec!.terminationGracePeriodSeconds, 110);
});

test('a lost answer, and the same token again: the same Jobs', async (t) => {
  const { server, launcher } = await setUp(t);
  server.loseAnswers = 1;
  await assert.rejects(launcher.start(asks()));
  const again = await launcher.start(asks());
  assert.equal(again.started.length, 3);
  assert.equal(server.jobs.size, 3);
  await launcher.start(asks());
  assert.equal(server.jobs.size, 3);
  await launcher.start(asks({ token: 'another', count: 1 }));
  assert.equal(server.jobs.size, 4);
});

test('what the API server forbids is refused in its words, behind what was started; what may pass is not', async (t) => {
  const { server, launcher } = await setUp(t, (model) => (model === 'unset' ? undefined : template));
  server.errors.push({ status: 403, message: 'jobs.batch is forbidden: exceeded quota: gpu' });
  const { started, refused } = await launcher.start(asks());
  assert.deepEqual([started.length, refused], [0, '403: jobs.batch is forbidden: exceeded quota: gpu']);
  for (const status of [429, 500, 503]) {
    server.errors.push({ status, message: 'later' });
    await assert.rejects(launcher.start(asks()), { code: status });
  }
  assert.match((await launcher.start(asks({ model: 'unset' }))).refused!, /names no template for unset/);
});

test('a template that is none is refused by its name', async (t) => {
  const dir = await mkdtemp(path.join(tmpdir(), 'longhaul-template-'));
  t.after(() => rm(dir, { recursive: true }));
  const file = path.join(dir, 'job.yaml');
  const { launcher, server } = await setUp(t, () => file);
  assert.match((await launcher.start(asks())).refused!, /job\.yaml cannot be used as a template: /);
  await writeFile(file, 'kind: Deployment\n');
  assert.match((await launcher.start(asks())).refused!, /job\.yaml is not a Job of batch\/v1/);
  assert.deepEqual(server.calls, []);
});

test('the list has all pages: who is placed, and why another one is not', async (t) => {
  const { server, launcher } = await setUp(t);
  const { started } = await launcher.start(asks({ count: 5 }));
  await launcher.start(asks({ count: 1, token: 'b', model: 'falcon_7b' }));
  const [running, scheduled, unschedulable, fresh, over] = started.map(({ id }) => id) as string[];
  const condition = (status: string, more: { reason?: string; message?: string } = {}) => {
    return { type: 'PodScheduled', status, ...more };
  };
  server.podOf(running!, { phase: 'Running', conditions: [condition('True')] });
  server.podOf(scheduled!, { phase: 'Pending', conditions: [condition('True')] });
  const why = '0/9 nodes are available: 9 Insufficient nvidia.com/gpu.';
  server.podOf(unschedulable!, {
    phase: 'Pending',
    conditions: [condition('False', { reason: 'Unschedulable', message: why })],
  });
  server.end(over!, 'Complete');
  assert.deepEqual(
    (await launcher.list('falcon_7b.')).map((worker) => [worker.id, worker.state, worker.why]),
    [
      [running, 'running', null],
      [scheduled, 'running', null],
      [unschedulable, 'starting', `Unschedulable: ${why}`],
      [fresh, 'starting', null],
    ],
  );
  assert.equal((await launcher.list('falcon_7b')).length, 1);
  assert.deepEqual(await launcher.list('none'), []);
});

test('how a worker ended: by itself, taken away, broken; of one that is gone nothing is said', async (t) => {
  const { server, launcher } = await setUp(t);
  const { started } = await launcher.start(asks({ count: 4 }));
  const [fine, taken, crashed] = started.map(({ id }) => id) as string[];
  server.end(fine!, 'Complete');
  server.end(taken!, 'Failed', 'BackoffLimitExceeded');
  server.podOf(taken!, { conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'PreemptionByScheduler' }] });
  server.end(crashed!, 'Failed', 'BackoffLimitExceeded');
  const terminated = { exitCode: 1, reason: 'Error' };
  server.podOf(crashed!, {
    containerStatuses: [
      { name: 'worker', image: 'x', imageID: 'x', ready: false, restartCount: 0, state: { terminated } },
    ],
  });
  const ended = await launcher.ended([...started, { id: 'longhaul-worker-gone', model: 'falcon_7b.' }]);
  assert.deepEqual(
    ended.map(({ id, failure }) => [id, failure]),
    [
      [fine, null],
      [taken, null],
      [crashed, { kind: 'broken', words: 'BackoffLimitExceeded: worker ended with 1 Error' }],
    ],
  );
  assert.equal(ended[0]?.endedAt, 1_767_225_600_000);
});
