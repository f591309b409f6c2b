import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startPrivateRedis } from '@longhaul/core/redis';
import { runProgram } from '../../scripts/checks/program.ts';
import { parseBases, reference } from '../../scripts/images/bases.ts';
import { clientOf } from '../support/api-client.ts';
import { waitFor } from '../support/cluster.ts';
import { freePorts } from '../support/free-ports.ts';
import { Containers, succeeded } from './containers.ts';
import { makeStandIns } from './stand-ins.ts';

const usage = `usage: npm run test:image -- [--again] [--json]

Builds the images control and worker-cpu for real and runs them as containers: without root, on a read-only root, with no
capability; a job over the HTTP API; SIGTERM. Needs root and
  apt-get install -y --no-install-recommends podman buildah runc debootstrap

The real base images are not fetched: stand-ins with their names are made of Debian's packages, and kept in .cache/image-test
with everything else (some GB; delete it to begin again).

  --again   also build control a second time without any cache, and compare the layers
  --json    one JSON object in place of text
  --help

Example:
  npm run test:image -- --again
`;

const root = path.resolve(import.meta.dirname, '..', '..');
const dir = path.join(root, '.cache', 'image-test');
const images = ['control', 'worker-cpu'] as const;
const tag = 'test';

interface Check {
  readonly name: string;
  readonly passed: boolean;
  readonly detail: string;
}

class Report {
  readonly checks: Check[] = [];
  readonly figures: Record<string, number> = {};
  private readonly json: boolean;

  constructor(json: boolean) {
    this.json = json;
  }

  say(text: string): void {
    if (!this.json) process.stdout.write(`${text}\n`);
  }

  figure(name: string, value: number): void {
    this.figures[name] = Math.round(value * 10) / 10;
    this.say(`  ${name}: ${this.figures[name]}`);
  }

  async check(name: string, prove: () => Promise<unknown>): Promise<void> {
    try {
      await prove();
      this.checks.push({ name, passed: true, detail: '' });
      this.say(`✔ ${name}`);
    } catch (error) {
      const detail = (error as Error).message;
      this.checks.push({ name, passed: false, detail });
      this.say(`✖ ${name}: ${detail}`);
    }
  }
}

async function main({ json, again }: { json: boolean; again: boolean }): Promise<number> {
  const report = new Report(json);
  for (const tool of ['buildah', 'debootstrap', 'podman', 'runc']) {
    const { code } = await runProgram(tool, ['--version']);
    if (code === 127) throw new Error(`${tool} is missing; see --help`);
  }
  if (process.getuid?.() !== 0) throw new Error('containers are built and run by root here');
  const containers = await Containers.open(dir, () => {});
  const bases = parseBases(await readFile(path.join(root, 'infra/images/bases.env'), 'utf8'));
  const named = (name: string) => {
    const { repository, tag } = bases.find((base) => base.name === name)!;
    return reference({ line: 0, name, repository, tag, digest: null });
  };
  report.say('making stand-ins of the bases …');
  await makeStandIns(containers, { dir, node: named('NODE_IMAGE'), runtime: named('RUNTIME_IMAGE') });
  for (const image of images) {
    for (const { bytes, seconds } of await build(containers, image)) {
      report.figure(`${image}: MB`, bytes / 1e6);
      report.figure(`${image}: seconds to build`, seconds);
    }
    // The tree must not change in between.
    if (image !== 'control' || !again) continue;
    await report.check('a second build without a cache has the same layers', async () => {
      const before = await layers(containers, `longhaul-control:${tag}`);
      await build(containers, 'control', ['--no-cache']);
      assert.deepEqual(await layers(containers, `longhaul-control:${tag}`), before);
    });
  }
  for (const image of images) await alone(containers, report, image);
  await together(containers, report);
  const failed = report.checks.filter(({ passed }) => !passed).length;
  if (json) process.stdout.write(`${JSON.stringify({ checks: report.checks, figures: report.figures })}\n`);
  else report.say(`${report.checks.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

interface Built {
  readonly bytes: number;
  readonly seconds: number;
}

/** By the script that people use, on bases of the same names and without digests. */
async function build(containers: Containers, image: string, options: readonly string[] = []): Promise<Built[]> {
  const env = Object.entries(containers.env).map(([name, value]) => `${name}=${value}`);
  const engine = ['--pull-never', ...options].map((option) => `--engine-option=${option}`);
  const only = ['--only', image];
  const script = [
    path.join(root, 'scripts/images/main.ts'),
    ...only,
    '--engine',
    'buildah',
    '--unpinned',
    '--tag',
    tag,
  ];
  const unset = ['--unset=NODE_TEST_CONTEXT'];
  const ran = await runProgram('env', [...unset, ...env, process.execPath, ...script, ...engine, '--json'], {
    cwd: root,
  });
  const text = succeeded('npm run images', { ...ran, stderr: ran.stdout + ran.stderr });
  return (JSON.parse(text) as { built: Built[] }).built;
}

/** Digests alone: buildah writes the names of its intermediate images into the history of an image. */
async function layers(containers: Containers, image: string): Promise<string> {
  const inspect = ['image', 'inspect', '--format', '{{.RootFS.Layers}}', image];
  return succeeded('inspect', await containers.podman(inspect));
}

const locked = ['--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges', '--no-healthcheck'];

/** What one image is, without anything beside it. */
async function alone(containers: Containers, report: Report, image: string): Promise<void> {
  const look = `
    import { accessSync, constants, existsSync, readdirSync, writeFileSync } from 'node:fs';
    const writes = (folder) => { try { writeFileSync(folder + '/x', ''); return true } catch { return false } };
    const files = readdirSync('/app', { recursive: true }).map(String);
    console.log(JSON.stringify({
      user: [process.getuid(), process.getgid()],
      first: (await import('node:fs')).readFileSync('/proc/1/comm', 'utf8').trim(),
      writable: ['/', '/app', '/etc', '/usr', '/tmp', '/var/lib/longhaul'].filter(writes),
      shells: ['/bin/sh', '/bin/bash', '/usr/bin/apt', '/usr/bin/cc', '/usr/local/bin/npm'].filter((file) => existsSync(file)),
      addons: files.filter((file) => file.endsWith('.node')),
      sources: files.filter((file) => /\\.(cpp|cu)$/.test(file) && !file.includes('node_modules')),
    }));`;
  const args = ['run', '--rm', ...locked, `longhaul-${image}:${tag}`, 'node', '--input-type=module', '--eval', look];
  await report.check(
    `${image}: user 65532, tini first, read-only but for two folders, no shell and no compiler`,
    async () => {
      const seen = JSON.parse(succeeded('podman run', await containers.podman(args)));
      const { addons, ...rest } = seen;
      assert.deepEqual(rest, {
        ...{ user: [65532, 65532], first: 'tini' },
        ...{ writable: ['/tmp', '/var/lib/longhaul'], shells: [], sources: [] },
      });
      if (image === 'control') assert.deepEqual(addons, []);
    },
  );
}

/** API, controller and worker around a Redis and a store of files: a job, its health, and the way out. */
async function together(containers: Containers, report: Report): Promise<void> {
  const work = await mkdtemp(path.join(tmpdir(), 'longhaul-image-'));
  const redis = await startPrivateRedis({ dir: path.join(work, 'redis'), env: process.env });
  const [api, ...metrics] = await freePorts(4);
  const names = ['api', 'controller', 'worker'] as const;
  const container = (name: string) => `longhaul-image-test-${process.pid}-${name}`;
  const volume = path.join(work, 'data');
  await mkdir(volume);
  succeeded('chown', await runProgram('chown', ['65532:65532', volume]));
  try {
    const commands: Record<(typeof names)[number], readonly string[]> = {
      api: [`longhaul-control:${tag}`, 'node', 'producer/main.ts', 'api', '--host', '127.0.0.1', '--port', String(api)],
      controller: [`longhaul-control:${tag}`, 'node', 'infra/controller/main.ts'],
      worker: [`longhaul-worker-cpu:${tag}`],
    };
    const began = performance.now();
    for (const [index, name] of names.entries()) {
      const env = {
        LONGHAUL_METRICS_ADDRESS: `127.0.0.1:${metrics[index]}`,
        LONGHAUL_MODELS: 'tiny-english',
        LONGHAUL_PREEMPTION: 'none',
        LONGHAUL_REDIS_URL: redis.url,
        LONGHAUL_STORE: 'file:///var/lib/longhaul/store',
        LONGHAUL_THREADS: '1',
      };
      const set = Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`]);
      const args = [
        'run',
        '--detach',
        '--name',
        container(name),
        ...locked,
        ...set,
        '--volume',
        `${volume}:/var/lib/longhaul`,
      ];
      succeeded(`podman run ${name}`, await containers.podman([...args, ...commands[name]]));
    }
    const logs = async (name: string) => (await containers.podman(['logs', container(name)])).stderr;
    for (const name of names) {
      await report.check(`${name}: its health check says that it does its work`, () =>
        waitFor(
          async () => {
            const asked = ['exec', container(name), 'node', '/app/healthcheck.mjs', 'readyz'];
            return (await containers.podman(asked)).code === 0 ? true : null;
          },
          60_000,
          () => `${name} to be ready`,
        ).catch(async (error: Error) => {
          throw new Error(`${error.message}; it said ${(await logs(name)).slice(-1500)}`);
        }),
      );
    }
    report.figure('seconds until all three are ready', (performance.now() - began) / 1000);
    await report.check('a completion over the HTTP API', async () => {
      const make = ['exec', container('api'), 'node', 'producer/main.ts', 'keys', 'create'];
      const key = succeeded('keys create', await containers.podman(make));
      const asked = { model: 'tiny-english', prompt: 'Call me', max_tokens: 16 };
      const { status, body } = await clientOf(`http://127.0.0.1:${api}`, key)('POST', '/v1/completions', asked);
      assert.equal(status, 200, JSON.stringify(body));
    });
    for (const name of [...names].reverse()) {
      await report.check(`${name}: ends by itself on SIGTERM, with exit code 0`, async () => {
        const stopping = performance.now();
        succeeded('podman stop', await containers.podman(['stop', '--time', '75', container(name)]));
        report.figure(`${name}: seconds to stop`, (performance.now() - stopping) / 1000);
        const inspect = ['inspect', '--format', '{{.State.ExitCode}}', container(name)];
        const code = succeeded('inspect', await containers.podman(inspect));
        assert.equal(code, '0', (await logs(name)).slice(-1500));
      });
    }
    await report.check('SIGTERM before Node listens ends the container, too', async () => {
      const name = container('early');
      const wait = ['node', '--eval', 'setTimeout(() => {}, 60_000)'];
      succeeded(
        'run',
        await containers.podman(['run', '--detach', '--name', name, ...locked, `longhaul-control:${tag}`, ...wait]),
      );
      const stopping = performance.now();
      succeeded('podman stop', await containers.podman(['stop', '--time', '30', name]));
      assert.ok(performance.now() - stopping < 15_000, 'it was killed after the grace');
    });
  } finally {
    for (const name of [...names, 'early']) await containers.podman(['rm', '--force', '--time', '0', container(name)]);
    await redis.stop();
    await rm(work, { recursive: true, force: true, maxRetries: 5 });
  }
}

try {
  const { values } = parseArgs({
    options: {
      again: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) process.stdout.write(usage);
  else process.exitCode = await main(values);
} catch (error) {
  process.stderr.write(`test:image: ${(error as Error).message}\n`);
  process.exitCode = 2;
}
