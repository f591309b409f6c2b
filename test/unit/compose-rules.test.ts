import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { parseDocument } from 'yaml';
import { againstSchema, checkCompose } from '../../scripts/compose/check.ts';
import { type Compose, interpolate, type Json, readCompose } from '../../scripts/compose/read.ts';
import { applyRules, ruleNames } from '../../scripts/compose/rules.ts';
import { parseBases } from '../../scripts/images/bases.ts';

const root = path.resolve(import.meta.dirname, '../..');
const file = path.join(root, 'infra/compose/compose.yaml');
const text = await readFile(file, 'utf8');
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

const known = new Set([...text.matchAll(/\bLONGHAUL_[A-Z0-9_]+/g)].map(([name]) => name));

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
  ['user', ['queue', 'user'], undefined],
  ['user', ['worker', 'user'], '0:0'],
  ['limits', ['worker', 'deploy'], undefined],
  ['limits', ['worker', 'pids_limit'], undefined],
  ['ports', ['api', 'ports'], ['8080:8080']],
  ['ports', ['queue', 'ports'], ['127.0.0.1:6379:6379']],
  ['networks', ['queue', 'networks'], ['jobs', 'outside']],
  ['networks', ['api', 'network_mode'], 'host'],
  ['secrets', ['store', 'environment'], { RUSTFS_SECRET_KEY: 'hunter2' }],
  ['secrets', ['api', 'environment'], { LONGHAUL_REDIS_URL: 'redis://api:hunter2@queue:6379' }],
  ['secrets', ['queue', 'command'], ['valkey-server', '--requirepass', 'hunter2']],
  ['settings', ['worker', 'environment'], { LONGHAUL_SLOT: '4' }],
  ['health', ['api', 'healthcheck'], undefined],
  ['health', ['queue', 'healthcheck'], { disable: true }],
  ['one-shot', ['tempo', 'restart'], 'no'],
  ['mounts', ['prometheus', 'volumes'], ['../telemetry/prometheus.yaml:/etc/prometheus/prometheus.yaml']],
  ['mounts', ['prometheus', 'volumes'], ['../telemetry/gone.yaml:/etc/prometheus/prometheus.yaml:ro']],
  ['mounts', ['collector', 'volumes'], ['/var/run/docker.sock:/var/run/docker.sock:ro']],
  ['mounts', ['api', 'volumes'], ['api-secrets:/run/secrets/longhaul']],
  ['queue', ['queue', 'command'], ['valkey-server', '--maxmemory-policy', 'allkeys-lru', '--appendonly', 'yes']],
];

for (const [rule, at, value] of faults) {
  test(`${rule} is found: ${at.join('.')} ${value === undefined ? 'is missing' : JSON.stringify(value)}`, async () => {
    const found = applyRules(await changed(['services', ...at], value), { bases, settings: known });
    assert.ok(
      found.some((finding) => finding.rule === rule),
      JSON.stringify(found),
    );
  });
}

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
