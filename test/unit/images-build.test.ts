import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import type { Result } from '../../scripts/checks/report.ts';
import { parseBases, reference, withDigest } from '../../scripts/images/bases.ts';
import { buildCommand, parseSize } from '../../scripts/images/engine.ts';
import { resolveDigest } from '../../scripts/images/registry.ts';

const digest = `sha256:${'0a'.repeat(32)}`;

/** A registry that gives tokens to everybody, and manifests to whoever shows one. */
async function startRegistry() {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const { port } = server.address() as AddressInfo;
    if (request.url!.startsWith('/token')) {
      response.setHeader('content-type', 'application/json');
      return void response.end(JSON.stringify({ token: 'for-everybody' }));
    }
    if (request.headers.authorization !== 'Bearer for-everybody') {
      const challenge = `Bearer realm="http://127.0.0.1:${port}/token",service="test",scope="repository:team/base:pull"`;
      return void response.writeHead(401, { 'www-authenticate': challenge }).end();
    }
    if (request.url !== '/v2/team/base/manifests/1.2') return void response.writeHead(404).end();
    assert.match(request.headers.accept ?? '', /image\.index/);
    response.writeHead(200, { 'docker-content-digest': digest }).end();
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { host, asked, [Symbol.asyncDispose]: () => new Promise<void>((closed) => server.close(() => closed())) };
}

test('the digest of a base is what its registry says', async () => {
  await using registry = await startRegistry();
  const repository = `${registry.host}/team/base`;
  assert.equal(await resolveDigest({ repository, tag: '1.2' }), digest);
  assert.deepEqual(registry.asked, [
    'HEAD /v2/team/base/manifests/1.2',
    'GET /token?service=test&scope=repository%3Ateam%2Fbase%3Apull',
    'HEAD /v2/team/base/manifests/1.2',
  ]);
  await assert.rejects(resolveDigest({ repository, tag: '9' }), /expected the digest of a manifest; found status 404/);
});

test('a registry that is away is named', async () => {
  const repository = '127.0.0.1:1/team/base';
  await assert.rejects(resolveDigest({ repository, tag: '1' }), /127\.0\.0\.1:1 does not answer: /);
});

test('a digest is written behind its tag, and all else stays', () => {
  const text = '# why\nA_IMAGE=registry.test/a:1\n\nB_IMAGE=registry.test/b:2\n';
  const pinned = withDigest(text, parseBases(text)[1]!, digest);
  assert.equal(pinned, text.replace('b:2', `b:2@${digest}`));
  const [a, b] = parseBases(pinned);
  assert.equal(a!.digest, null);
  assert.equal(reference(b!), `registry.test/b:2@${digest}`);
});

test('engines are told the same build, dated by the commit', () => {
  const order = { file: 'f', tag: 'longhaul-x:1', buildArgs: { B: '2', A: '1' }, epoch: 1234, options: ['--no-cache'] };
  const shared = '--file f --tag longhaul-x:1 --build-arg A=1 --build-arg B=2 --no-cache .';
  for (const engine of ['podman', 'buildah'] as const) {
    assert.equal(buildCommand(engine, order).join(' '), `build --format docker --layers --timestamp 1234 ${shared}`);
  }
  const docker = buildCommand('docker', order).join(' ');
  assert.match(docker, /^buildx build --output type=docker,rewrite-timestamp=true --build-arg SOURCE_DATE_EPOCH=1234 /);
  assert.ok(docker.endsWith(shared));
});

test('sizes are read as each engine prints them', () => {
  assert.equal(parseSize('podman', '123456\n'), 123456);
  assert.equal(parseSize('buildah', '[{"id": "a", "size": "312 MB"}]'), 312e6);
  assert.equal(parseSize('buildah', '[{"size": "1.21 GB"}]'), 1.21e9);
  assert.equal(parseSize('docker', 'no such image'), null);
});

/** The command, where no engine is in the PATH. */
function images(...args: readonly string[]) {
  const main = path.resolve(import.meta.dirname, '../../scripts/images/main.ts');
  const options = { encoding: 'utf8', env: { PATH: '/nowhere' }, timeout: 60_000 } as const;
  return spawnSync(process.execPath, [main, ...args], options);
}

test('where no engine works, the command says of each why, and that nothing was built', () => {
  const { status, stdout } = images('--json');
  assert.equal(status, 3);
  const { engine, tried, findings } = JSON.parse(stdout);
  assert.deepEqual(
    { engine, tried, findings },
    {
      ...{ engine: null, findings: [] },
      tried: { podman: 'not found', buildah: 'not found', docker: 'not found' },
    },
  );
});

test('a check needs no engine, and a wrong word is told', () => {
  assert.equal(images('--check').status, 0);
  const { results } = JSON.parse(images('--check', '--json').stdout) as { results: Result[] };
  assert.deepEqual(
    results.map(({ check }) => check),
    ['images', 'digests of bases'],
  );
  const { status, stderr } = images('--only', 'proxy');
  assert.equal(status, 2);
  assert.match(stderr, /--only takes control, worker, worker-cpu; found proxy/);
});
