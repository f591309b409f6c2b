import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { parseDocument } from 'yaml';
import type { Result } from '../../scripts/checks/report.ts';
import { againstSchema, checkCompose, imageEnvironments } from '../../scripts/compose/check.ts';
import { type Compose, interpolate, type Json, readCompose } from '../../scripts/compose/read.ts';
import { applyRules, ruleNames } from '../../scripts/compose/rules.ts';
import { parseBases } from '../../scripts/images/bases.ts';

const root = path.resolve(import.meta.dirname, '../..');
const file = path.join(root, 'infra/compose/compose.yaml');
const bases = parseBases(await readFile(path.join(root, 'infra/images/bases.env'), 'utf8'));

/** The stack's own file with one value changed: `path` from the top, undefined takes it away. */
async function changed(at: readonly string[], value: Json | undefined): Promise<Compose> {
  const whole = await readCompose([file]);
  const document = structuredClone(whole.document) as Record<string, unknown>;
  let parent = document;
  for (const key of at.slice(0, -1)) parent = parent[key] as Record<string, unknown>;
  if (value === undefined) delete parent[at.at(-1)!];
  else parent[at.at(-1)!] = value;
  return { ...whole, document: document as Compose['document'], services: document['services'] as Compose['services'] };
}

const known = { bases, images: await imageEnvironments(root), variables: {} };

/** A fault each: the rule that finds it, the service, the field, and what is put there. */
const faults: readonly (readonly [string, readonly string[], Json | undefined])[] = [
  ['image', ['queue', 'image'], 'docker.io/valkey/valkey:latest'],
  ['image', ['queue', 'image'], 'docker.io/valkey/valkey'],
  ['image', ['queue', 'image'], 'valkey/valkey:9.0.6'],
  ['build', ['api', 'build'], { context: '../..', dockerfile: 'infra/images/control.Dockerfile' }],
  ['build', ['init', 'build'], undefined],
  ['build', ['api', 'depends_on'], { queue: { condition: 'service_healthy' } }],
  ['build', ['worker', 'pull_policy'], undefined],
  ['base', ['init', 'build'], { context: '.', args: { NODE_IMAGE: `\${NODE_IMAGE:-docker.io/library/node:18}` } }],
  ['hardened', ['worker', 'read_only'], false],
  ['hardened', ['worker', 'cap_drop'], ['NET_RAW']],
  ['hardened', ['store', 'security_opt'], undefined],
  ['hardened', ['api', 'privileged'], true],
  ['hardened', ['queue', 'security_opt'], ['no-new-privileges:true', 'seccomp:unconfined']],
  ['hardened', ['api', 'env_file'], ['secrets.env']],
  ['hardened', ['queue', 'volumes_from'], ['grafana']],
  ['user', ['queue', 'user'], undefined],
  ['user', ['worker', 'user'], '0:0'],
  ['limits', ['worker', 'deploy'], undefined],
  ['limits', ['worker', 'pids_limit'], undefined],
  ['ports', ['api', 'ports'], ['8080:8080']],
  ['ports', ['queue', 'ports'], ['127.0.0.1:6379:6379']],
  ['ports', ['queue', 'ports'], [{ target: 6379, published: '6379', host_ip: '127.0.0.1' }]],
  ['ports', ['api', 'ports'], [`127.0.0.1:\${LONGHAUL_PORT:-8080}:8080`, { target: 9464, published: '9464' }]],
  ['ports', ['api', 'ports'], [{ target: 8080, published: '8080', host_ip: '0.0.0.0' }]],
  ['ports', ['store', 'ports'], [9000]],
  ['networks', ['queue', 'networks'], ['jobs', 'outside']],
  ['networks', ['api', 'network_mode'], 'host'],
  ['secrets', ['store', 'environment'], { RUSTFS_SECRET_KEY: 'hunter2' }],
  ['secrets', ['api', 'environment'], { LONGHAUL_REDIS_URL: 'redis://api:hunter2@queue:6379' }],
  ['secrets', ['queue', 'command'], ['valkey-server', '--requirepass', 'hunter2']],
  ['secrets', ['api', 'environment'], { LONGHAUL_REDIS_URL: 'redis://queue:6379' }],
  ['secrets', ['api', 'command'], ['node', 'main.ts', '--key=AKIAIOSFODNN7EXAMPLE']],
  ['settings', ['worker', 'environment'], { LONGHAUL_SLOT: '4' }],
  ['settings', ['bucket', 'environment'], { LONGHAUL_STORES: 's3://longhaul/ledger' }],
  // Settings of another process, and values that nobody takes.
  ['settings', ['api', 'environment'], { LONGHAUL_SWEEP_SECONDS: '10' }],
  ['settings', ['longhaul', 'environment'], { LONGHAUL_API_RATE: '10' }],
  ['settings', ['worker', 'environment', 'LONGHAUL_THREADS'], 'all'],
  ['settings', ['controller', 'environment', 'LONGHAUL_SWEEP_SECONDS'], `\${SWEEP:--1}`],
  ['settings', ['worker', 'environment', 'LONGHAUL_STORE'], undefined],
  ['health', ['api', 'healthcheck'], undefined],
  ['health', ['queue', 'healthcheck'], { disable: true }],
  ['health', ['api', 'depends_on'], ['init', 'gone']],
  ['health', ['api', 'depends_on'], { init: {}, gone: { condition: 'service_started' } }],
  ['one-shot', ['tempo', 'restart'], 'no'],
  ['mounts', ['prometheus', 'volumes'], ['../telemetry/prometheus.yaml:/etc/prometheus/prometheus.yaml']],
  ['mounts', ['prometheus', 'volumes'], ['../telemetry/gone.yaml:/etc/prometheus/prometheus.yaml:ro']],
  ['mounts', ['collector', 'volumes'], ['/var/run/docker.sock:/var/run/docker.sock:ro']],
  ['mounts', ['api', 'volumes'], ['api-secrets:/run/secrets/longhaul']],
  ['mounts', ['collector', 'volumes'], [{ type: 'bind', source: '/var/run/docker.sock', target: '/docker.sock' }]],
  ['mounts', ['collector', 'volumes'], [{ type: 'bind', source: '../telemetry/collector.yaml', target: '/c.yaml' }]],
  ['mounts', ['collector', 'volumes'], [{ type: 'bind', source: '../gone.yaml', target: '/c.yaml', read_only: true }]],
  ['mounts', ['api', 'volumes'], [{ type: 'volume', source: 'api-secrets', target: '/run/secrets/longhaul' }]],
  ['mounts', ['api', 'volumes'], [{ type: 'volume', source: 'nowhere', target: '/data' }]],
  ['mounts', ['api', 'volumes'], [`\${HOME}:/home:ro`]],
  ['queue', ['queue', 'command'], ['valkey-server', '--maxmemory-policy', 'allkeys-lru', '--appendonly', 'yes']],
];

for (const [rule, at, value] of faults) {
  test(`${rule} is found: ${at.join('.')} ${value === undefined ? 'is missing' : JSON.stringify(value)}`, async () => {
    const found = applyRules(await changed(['services', ...at], value), known);
    assert.ok(
      found.some((finding) => finding.rule === rule),
      JSON.stringify(found),
    );
  });
}

test('a volume that is a folder of the machine is found', async () => {
  const bound = await changed(['volumes', 'queue-data'], { driver_opts: { type: 'none', o: 'bind', device: '/' } });
  assert.deepEqual(
    applyRules(bound, known).map(({ service, rule }) => `${service} ${rule}`),
    ['queue mounts'],
  );
});

test('what is sound in the long syntax has no findings', async () => {
  const sound: readonly (readonly [readonly string[], Json])[] = [
    [['api', 'ports'], [{ target: 8080, published: '8080', host_ip: '127.0.0.1' }]],
    [['prometheus', 'volumes'], [{ type: 'volume', source: 'prometheus-data', target: '/prometheus' }]],
    [
      ['collector', 'volumes'],
      [{ type: 'bind', source: '../telemetry/collector.yaml', target: '/config.yaml', read_only: true }],
    ],
    [
      ['grafana', 'depends_on'],
      ['init', 'prometheus'],
    ],
  ];
  for (const [at, value] of sound) {
    assert.deepEqual(applyRules(await changed(['services', ...at], value), known), [], at.join('.'));
  }
});

test('every rule has a fault that it finds', () => {
  assert.deepEqual(
    ruleNames.filter((name) => !faults.some(([rule]) => rule === name)),
    [],
  );
});

test('a word that the Compose specification does not know is found', async () => {
  const misspelt = await changed(['services', 'api', 'depend_on'], ['queue']);
  assert.match(JSON.stringify(againstSchema('x', misspelt)), /depend_on/);
});

test('the stack, with and without a GPU, has no findings', async () => {
  for (const { variant, services, findings } of await checkCompose(root)) {
    assert.deepEqual(findings, [], variant);
    assert.ok(services.length >= 10);
  }
});

test('no key stands twice in a file of the stack', async () => {
  for (const name of ['compose.yaml', 'compose.gpu.yaml', 'tempo.yaml']) {
    const read = parseDocument(await readFile(path.join(root, 'infra/compose', name), 'utf8'), { merge: true });
    assert.deepEqual(read.errors, [], name);
  }
});

test('variables are put in as compose does', () => {
  const env = { A: 'set', B: '' };
  assert.equal(interpolate(`\${A} \${A:-x} \${B:-x} \${C:-y z} \${C}.`, env), 'set set x y z .');
  assert.throws(() => interpolate(`\${C:?name it}`, env), /C is not set: name it/);
});

test('users of the queue may do what they may do on AWS', async () => {
  const script = await readFile(path.join(root, 'infra/compose/secrets.mjs'), 'utf8');
  const terraform = await readFile(path.join(root, 'terraform/modules/queue/main.tf'), 'utf8');
  const commands = /commands = "([^"]+)"/.exec(terraform)?.[1];
  const keys = /queue\s+= "([^"]+)"/.exec(terraform)?.[1];
  assert.ok(commands !== undefined && keys !== undefined);
  assert.ok(script.includes(`const commands = '${commands}';`), commands);
  assert.ok(script.includes(`const queueKeys = '${keys}';`), keys);
});

test('the check reports as all checks do', () => {
  const main = path.join(root, 'scripts/compose/main.ts');
  const { status, stdout } = spawnSync(process.execPath, [main, '--json'], { encoding: 'utf8' });
  assert.equal(status, 0);
  const { results } = JSON.parse(stdout) as { results: Result[] };
  assert.deepEqual(
    results.map(({ check, outcome }) => [check, outcome]),
    [
      ['cpu', 'passed'],
      ['gpu', 'passed'],
    ],
  );
});
