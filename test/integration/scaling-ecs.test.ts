import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { systemClock } from '@longhaul/core/contracts';
import { EcsLauncher } from '../../infra/controller/scaling/launchers/ecs.ts';
import type { StartRequest } from '../../infra/controller/scaling/port.ts';
import { EcsServer, type EcsTask } from '../support/ecs-server.ts';

Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret', AWS_REGION: 'eu-central-1' });

async function setUp(t: TestContext) {
  const server = await EcsServer.start();
  t.after(() => server.close());
  const launcher = (more: { definition?: string } = {}) =>
    new EcsLauncher({
      cluster: 'fleet',
      definitionOf: (model) => (model === 'unset' ? undefined : (more.definition ?? 'longhaul-worker')),
      providerOf: (market) => (market === 'spot' ? 'gpu-spot' : 'gpu-ondemand'),
      subnets: ['subnet-a', 'subnet-b'],
      securityGroups: ['sg-1'],
      endpoint: server.url,
      clock: systemClock,
    });
  return { server, launcher };
}

const asks = (more: Partial<StartRequest> = {}): StartRequest => ({
  ...{ model: 'falcon.7b', market: 'spot', count: 2, token: '0198c0de-0000-7000-8000-000000000001' },
  ...more,
});

test('tasks are asked for with all that makes them ours, more than ten in several requests', async (t) => {
  const { server, launcher } = await setUp(t);
  const { started, refused } = await launcher().start(asks({ count: 23 }));
  assert.equal(refused, null);
  assert.equal(started.length, 23);
  assert.deepEqual(
    server.runs.map(({ count }) => count),
    [10, 10, 3],
  );
  assert.equal(new Set(server.runs.map(({ clientToken }) => clientToken)).size, 3);
  const { cluster, taskDefinition, count, clientToken, ...sent } = server.runs[2]!;
  assert.deepEqual([cluster, taskDefinition, count], ['fleet', 'longhaul-worker', 3]);
  assert.match(clientToken, /^[\x21-\x7e]{1,64}$/);
  assert.deepEqual(sent, {
    capacityProviderStrategy: [{ capacityProvider: 'gpu-spot', weight: 1, base: 0 }],
    networkConfiguration: { awsvpcConfiguration: { subnets: ['subnet-a', 'subnet-b'], securityGroups: ['sg-1'] } },
    startedBy: 'longhaul/falcon_7b',
    group: 'longhaul-worker',
    enableECSManagedTags: true,
    propagateTags: 'TASK_DEFINITION',
    tags: [
      { key: 'longhaul:model', value: 'falcon.7b' },
      { key: 'longhaul:market', value: 'spot' },
    ],
  });
  await launcher().start(asks({ market: 'on-demand', count: 1, token: 'other' }));
  assert.deepEqual(server.runs.at(-1)?.capacityProviderStrategy[0]?.capacityProvider, 'gpu-ondemand');
});

test('a lost answer, and the same token from another controller: the same tasks, also after a setting has changed', async (t) => {
  const { server, launcher } = await setUp(t);
  server.loseAnswers = 1;
  const first = await launcher().start(asks());
  assert.equal(server.runs.length, 2, 'the client asked again by itself');
  server.loseAnswers = 3;
  await assert.rejects(launcher().start(asks({ token: 'lost' })));
  const again = await launcher().start(asks({ token: 'lost' }));
  assert.equal(server.tasks.size, 4);
  assert.deepEqual(
    (await launcher().start(asks())).started.map(({ id }) => id),
    first.started.map(({ id }) => id),
  );
  const changed = await launcher({ definition: 'longhaul-worker:2' }).start(asks({ token: 'lost' }));
  assert.deepEqual(
    changed.started.map(({ id }) => id),
    again.started.map(({ id }) => id),
  );
  assert.equal(server.tasks.size, 4);
});

test("what is not placed is refused in the platform's words: some of them, all of them, the request itself", async (t) => {
  const { server, launcher } = await setUp(t);
  server.places.set('gpu-spot', 1);
  const some = await launcher().start(asks({ count: 3 }));
  assert.deepEqual([some.started.length, some.refused], [1, 'RESOURCE:GPU']);
  const none = await launcher().start(asks({ count: 12, token: 'other' }));
  assert.deepEqual([none.started.length, none.refused], [0, 'RESOURCE:GPU']);
  assert.equal(server.runs.length, 2, 'behind a refusal no more is asked for');
  server.errors.push({ name: 'AccessDeniedException', message: 'not authorized to perform ecs:RunTask' });
  const denied = await launcher().start(asks({ token: 'denied' }));
  assert.match(denied.refused!, /^AccessDeniedException: .*not authorized/);
  assert.match((await launcher().start(asks({ model: 'unset' }))).refused!, /names no task definition for unset/);
});

test('throttling is waited for, and told where it goes on: nothing is taken for refused', async (t) => {
  const { server, launcher } = await setUp(t);
  server.errors.push({ name: 'ThrottlingException', message: 'Rate exceeded' });
  assert.equal((await launcher().start(asks())).started.length, 2);
  for (let i = 0; i < 3; i++) server.errors.push({ name: 'ThrottlingException', message: 'Rate exceeded' });
  await assert.rejects(launcher().start(asks({ token: 'throttled' })), { name: 'ThrottlingException' });
  for (let i = 0; i < 3; i++)
    server.errors.push({ name: 'ServerException', message: 'Service Unavailable', status: 500 });
  await assert.rejects(launcher().start(asks({ token: 'failing' })), { name: 'ServerException' });
});

test('the list has all pages, the workers of this model alone, and their states by who is placed', async (t) => {
  const { server, launcher } = await setUp(t);
  await launcher().start(asks({ count: 5 }));
  await launcher().start(asks({ count: 1, token: 'b', model: 'falcon_7b', market: 'on-demand' }));
  const [first, second, third, stopping] = [...server.tasks.values()] as [EcsTask, EcsTask, EcsTask, EcsTask];
  first.lastStatus = 'RUNNING';
  second.lastStatus = 'PENDING';
  stopping.desiredStatus = 'STOPPED';
  server.tasks.set('arn:by-hand', { ...third, taskArn: 'arn:by-hand', tags: [] });
  const listed = await launcher().list('falcon.7b');
  assert.deepEqual(
    listed.map(({ id, state, market }) => [id, state, market]),
    [...server.tasks.values()]
      .filter((task) => task.tags.some(({ value }) => value === 'falcon.7b') && task !== stopping)
      .map((task) => [task.taskArn, task.lastStatus === 'PROVISIONING' ? 'starting' : 'running', 'spot']),
  );
  assert.ok(listed.every(({ startedAt }) => Math.abs(Date.now() - startedAt) < 60_000));
  assert.deepEqual(
    (await launcher().list('falcon_7b')).map(({ market }) => market),
    ['on-demand'],
  );
  assert.deepEqual(await launcher().list('none'), []);
});

test('how a worker ended: by itself, taken away, never placed, broken; of unknown ones nothing is said', async (t) => {
  const { server, launcher } = await setUp(t);
  const { started } = await launcher().start(asks({ count: 6 }));
  const [fine, spot, unplaced, unpullable, crashed] = [...server.tasks.values()] as EcsTask[];
  const stop = (task: EcsTask | undefined, stopCode: string, stoppedReason: string, exitCode?: number) =>
    Object.assign(task!, {
      ...{ lastStatus: 'STOPPED', desiredStatus: 'STOPPED', stopCode, stoppedReason, stoppedAt: 1_767_225_600 },
      containers: [{ name: 'worker', ...(exitCode !== undefined && { exitCode }) }],
    });
  stop(fine, 'EssentialContainerExited', 'Essential container in task exited', 0);
  stop(spot, 'SpotInterruption', 'Your Spot Task was interrupted.', 137);
  stop(unplaced, 'TaskFailedToStart', 'Capacity is unavailable at this time. Please try again later');
  stop(unpullable, 'TaskFailedToStart', 'CannotPullContainerError: manifest unknown');
  stop(crashed, 'EssentialContainerExited', 'Essential container in task exited', 1);
  const ended = await launcher().ended([...started, { id: 'arn:unknown', model: 'falcon.7b' }]);
  assert.deepEqual(
    ended.map(({ failure }) => failure),
    [
      null,
      null,
      { kind: 'capacity', words: 'TaskFailedToStart: Capacity is unavailable at this time. Please try again later' },
      { kind: 'broken', words: 'TaskFailedToStart: CannotPullContainerError: manifest unknown' },
      { kind: 'broken', words: 'Essential container in task exited: worker ended with 1' },
    ],
  );
  assert.equal(ended[0]?.endedAt, 1_767_225_600_000);
});
