import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from '../../worker/config.ts';
import { choosePlatforms, platformSources } from '../../worker/preemption/platforms.ts';

const required = { LONGHAUL_MODEL: 'm', LONGHAUL_REDIS_URL: 'redis://127.0.0.1:1', LONGHAUL_STORE: 'file:///tmp/x' };
const config = (env: Record<string, string>) => parseConfig({ ...required, ...env }, 1);
const chosen = (env: Record<string, string>, vendor: string | null) => choosePlatforms(config(env), vendor);

test('auto listens where the environment shows that there is something to hear', () => {
  assert.deepEqual(chosen({}, 'LENOVO'), []);
  assert.deepEqual(chosen({}, 'Amazon EC2'), ['ec2']);
  assert.deepEqual(chosen({}, 'Google'), ['gce']);
  assert.deepEqual(chosen({}, null), []);
  assert.deepEqual(chosen({ KUBERNETES_SERVICE_HOST: '10.0.0.1' }, 'LENOVO'), ['kubernetes']);
  const task = { ECS_CONTAINER_METADATA_URI_V4: 'http://169.254.170.2/v4/abc' };
  assert.deepEqual(chosen(task, 'Amazon EC2'), ['ec2', 'ecs']);
  assert.deepEqual(chosen({ LONGHAUL_IMDS_ENDPOINT: 'http://127.0.0.1:1/' }, 'LENOVO'), ['ec2']);
});

test('none hears signals alone, and a list is taken at its word', () => {
  const everything = { KUBERNETES_SERVICE_HOST: '10.0.0.1', LONGHAUL_PREEMPTION: 'none' };
  assert.deepEqual(chosen(everything, 'Amazon EC2'), []);
  assert.deepEqual(chosen({ LONGHAUL_PREEMPTION: 'gce,ec2,gce' }, 'LENOVO'), ['gce', 'ec2']);
});

test('a wrong setting stops the start and names itself', () => {
  const refused = (env: Record<string, string>) => () => {
    platformSources(config(env), { clock: { now: () => 0, date: () => new Date(), sleep: async () => {} }, log() {} });
  };
  assert.throws(refused({ LONGHAUL_PREEMPTION: 'azure' }), {
    code: 'invalid_config',
    message: 'LONGHAUL_PREEMPTION: must be auto, none, or a list of ec2,ecs,kubernetes,gce; found "azure"',
  });
  assert.throws(refused({ LONGHAUL_IMDS_ENDPOINT: 'ftp://x' }), /^LonghaulError: LONGHAUL_IMDS_ENDPOINT: /);
  assert.throws(refused({ LONGHAUL_PREEMPTION: 'ecs' }), /ECS_CONTAINER_METADATA_URI_V4 is not set/);
  assert.throws(refused({ LONGHAUL_PREEMPTION: 'kubernetes' }), /KUBERNETES_SERVICE_HOST is not set/);
});
