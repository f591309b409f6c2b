import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@longhaul/core/contracts';
import { parseConfig } from '../../infra/controller/config.ts';
import { openLauncher, workerEnv } from '../../infra/controller/scaling/open-launcher.ts';
import { limitsOf, ofModel } from '../../infra/controller/scaling/settings.ts';

const needed = {
  LONGHAUL_REDIS_URL: 'redis://127.0.0.1:6379',
  LONGHAUL_STORE: 'file:///srv/longhaul',
  LONGHAUL_MODELS: 'one,two',
};
const config = (more: Record<string, string> = {}) => parseConfig({ ...needed, ...more }, 1);
const io = { env: {}, execPath: '/usr/bin/node', workerProgram: null };

test('by default nothing is started; a platform needs the models that workers are started for', async () => {
  assert.equal(await openLauncher(config(), io, systemClock), null);
  assert.throws(
    () => parseConfig({ ...needed, LONGHAUL_MODELS: '', LONGHAUL_SCALE_PLATFORM: 'ecs' }, 1),
    /^LonghaulError: LONGHAUL_MODELS: must name the models that workers are started for; it is not set$/,
  );
});

test('a platform says which setting it lacks', async () => {
  const lacks = async (name: string, more: Record<string, string>) => {
    await assert.rejects(openLauncher(config(more), io, systemClock), (error: Error) =>
      error.message.startsWith(`${name}: `),
    );
  };
  await lacks('LONGHAUL_SCALE_PLATFORM', { LONGHAUL_SCALE_PLATFORM: 'process' });
  const ecs = { LONGHAUL_SCALE_PLATFORM: 'ecs' };
  await lacks('LONGHAUL_ECS_SPOT_PROVIDER', ecs);
  await lacks('LONGHAUL_ECS_TASK_DEFINITION', { ...ecs, LONGHAUL_ECS_SPOT_PROVIDER: 'spot' });
  const most = { ...ecs, LONGHAUL_ECS_SPOT_PROVIDER: 'spot', LONGHAUL_ECS_TASK_DEFINITION: 'worker' };
  await lacks('LONGHAUL_ECS_CLUSTER', most);
  const launcher = await openLauncher(config({ ...most, LONGHAUL_ECS_CLUSTER: 'fleet' }), io, systemClock);
  assert.equal(launcher?.platform, 'ecs');
  await lacks('LONGHAUL_KUBERNETES_JOB_TEMPLATE', { LONGHAUL_SCALE_PLATFORM: 'kubernetes' });
});

test('one value for all models, or one for each; anything else is refused', () => {
  const of = (text: string) => config({ LONGHAUL_ECS_TASK_DEFINITION: text }).LONGHAUL_ECS_TASK_DEFINITION;
  const arn = 'arn:aws:ecs:eu-central-1:111122223333:task-definition/worker:7';
  assert.equal(ofModel(of(arn), 'one'), arn);
  assert.equal(ofModel(of(`one=${arn},two=b`), 'one'), arn);
  assert.equal(ofModel(of(`one=${arn},two=b`), 'two'), 'b');
  assert.equal(ofModel(of(`one=${arn},two=b`), 'three'), undefined);
  assert.equal(ofModel(of(''), 'one'), undefined);
  for (const text of ['a,b', 'one=', 'one=a,b'])
    assert.throws(() => of(text), /must be one value for all models, or MODEL=VALUE/);
});

test('limits are those of the settings', () => {
  const limits = limitsOf(config({ LONGHAUL_SCALE_MAX_WORKER_HOURS: '12.5', LONGHAUL_SCALE_MAX_WORKERS: '3' }));
  assert.deepEqual([limits.maxWorkerHoursPerDay, limits.maxWorkers], [12.5, 3]);
  assert.equal(limitsOf(config()).maxWorkerHoursPerDay, null);
  assert.throws(
    () => config({ LONGHAUL_SCALE_MAX_WORKER_HOURS: '0' }),
    /LONGHAUL_SCALE_MAX_WORKER_HOURS: .*; found "0"/,
  );
});

test("a worker of this machine has the controller's settings, but for what names one process", () => {
  const env = {
    ...{ LONGHAUL_MODEL: '/srv/models/falcon', LONGHAUL_MODEL_NAME: 'one', LONGHAUL_CONTROLLER_ID: 'c' },
    ...{ LONGHAUL_PARENT_PIPE: '1', LONGHAUL_METRICS_ADDRESS: '0.0.0.0:9464', LONGHAUL_REDIS_URL: 'redis://r' },
  };
  const settings = config({ LONGHAUL_SCALE_SLOTS: '7' });
  const { LONGHAUL_IDLE_EXIT_SECONDS: idle, ...one } = workerEnv('one', settings, env);
  assert.deepEqual(one, {
    ...{ LONGHAUL_MODEL: '/srv/models/falcon', LONGHAUL_MODEL_NAME: 'one', LONGHAUL_SLOTS: '7' },
    LONGHAUL_REDIS_URL: 'redis://r',
  });
  assert.ok(Number(idle) >= 60, 'it ends by itself');
  const two = workerEnv('two', settings, { ...env, LONGHAUL_IDLE_EXIT_SECONDS: '5' });
  assert.deepEqual(
    [two['LONGHAUL_MODEL'], two['LONGHAUL_MODEL_NAME'], two['LONGHAUL_IDLE_EXIT_SECONDS']],
    ['two', 'two', '5'],
  );
});
