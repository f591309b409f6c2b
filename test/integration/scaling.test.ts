import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { type JobId, limits } from '@longhaul/core/contracts';
import { readScalingRecord } from '@longhaul/core/scaling';
import { letters } from '../fault/committed-work.ts';
import { Cluster, models, waitFor } from '../support/cluster.ts';
import { scoreTask } from '../support/tasks.ts';

const main = path.resolve(import.meta.dirname, '../../infra/controller/main.ts');

interface Claim {
  readonly name: string;
  readonly pid: number;
}

/** A cluster whose controllers start workers as processes of this machine: at most two, of two slots. */
async function setUp(t: TestContext, env: Record<string, string> = {}) {
  const cluster = await Cluster.start({ model: models.induction, env: { LONGHAUL_LOCK_MS: '2500', ...env } });
  const dir = path.join(cluster.dir, 'workers');
  const scaling = {
    ...{ LONGHAUL_SCALE_PLATFORM: 'process', LONGHAUL_MODELS: 'test', LONGHAUL_SCALE_PROCESS_DIR: dir },
    ...{ LONGHAUL_SCALE_SECONDS: '0.3', LONGHAUL_SCALE_SLOTS: '2', LONGHAUL_SCALE_MAX_WORKERS: '2' },
    ...{ LONGHAUL_SCALE_REFUSAL_SECONDS: '0.2', LONGHAUL_IDLE_EXIT_SECONDS: '1.5', LONGHAUL_STALLED_MS: '300', ...env },
  };
  const claims = async (): Promise<Claim[]> => {
    const files = (await readdir(dir).catch(() => [])).filter((file) => file.endsWith('.json'));
    const read = files.map(async (file) => ({
      ...JSON.parse(await readFile(path.join(dir, file), 'utf8')),
      name: file.slice(0, -5),
    }));
    return await Promise.all(read);
  };
  const alive = async () => (await claims()).filter(({ pid }) => isAlive(pid));
  t.after(async () => {
    await Promise.all(cluster.controllers.map((controller) => controller.stop('SIGKILL')));
    for (const { pid } of await alive()) process.kill(pid, 'SIGKILL');
    await cluster.close();
  });
  const record = async () => (await readScalingRecord({ store: cluster.store, clock: () => new Date() })).record;
  /** Nobody runs, and the record knows it. */
  const zero = () =>
    waitFor(
      async () => ((await alive()).length === 0 && Object.keys((await record()).workers).length === 0 ? true : null),
      60_000,
      () => 'all workers to end',
    );
  return { cluster, scaling, claims, alive, record, zero };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('from zero to zero: workers come for the jobs, through the death of a controller and of a worker, and go', async (t) => {
  const { cluster, scaling, claims, alive, record, zero } = await setUp(t);
  const jobs: JobId[] = [];
  for (let i = 1; i <= 5; i++) jobs.push(await cluster.submitText(`job-scaled-${i}`, letters(200_000), scoreTask));
  const first = await cluster.startController('first', scaling);
  const second = await cluster.startController('second', { ...scaling, LONGHAUL_METRICS_ADDRESS: '127.0.0.1:0' });
  await cluster.head(jobs[0]!, (head) => head.status === 'running');
  await first.stop('SIGKILL');
  // A worker with jobs in hand: they are orphans, and count until somebody has them.
  const [victim] = await waitFor(
    async () => ((await alive()).length === 2 ? await alive() : null),
    30_000,
    () => 'two workers',
  );
  const held = await cluster.head(jobs[0]!, (head) => head.owner !== null);
  process.kill(victim!.pid, 'SIGKILL');
  for (const jobId of jobs) assert.equal((await cluster.result(jobId)).status, 'succeeded');
  t.diagnostic(
    `${(await claims()).length} workers for 5 jobs on 2 × 2 slots and one death; the first was ${held.owner}`,
  );
  assert.ok((await claims()).length <= 4, 'two, one for the one that died, and one for jobs that came back late');
  await zero();
  const { workerSeconds, models: known } = await record();
  assert.ok(workerSeconds > 0);
  assert.equal(known['test']?.intent ?? null, null);
  const still = (await claims()).length;
  const { url } = JSON.parse(await second.says('metrics are served')) as { url: string };
  const metrics = await (await fetch(new URL('/metrics', url))).text();
  const seconds = /^longhaul_worker_seconds_total\{.*longhaul_market="spot".*\} ([\d.]+)/m.exec(metrics);
  assert.ok(Number(seconds?.[1]) > 0, metrics);
  assert.match(metrics, /^longhaul_scaling_breaker\{.*longhaul_model="test".*\} 0/m);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  assert.equal((await claims()).length, still, 'with no demand none is started');
});

test('a job that kills each worker it meets ends after its attempts, and no worker is started for it any more', async (t) => {
  const env = { LONGHAUL_COMMIT_SECONDS: '3600', LONGHAUL_COMMIT_TOKENS: String(2 ** 31) };
  const { cluster, scaling, claims, zero } = await setUp(t, env);
  const poison = await cluster.submitText('job-poison', letters(3_000_000), scoreTask);
  await cluster.startController('controller', scaling);
  for (let attempt = 1; attempt <= limits.stuckAttempts; attempt++) {
    const { owner } = await cluster.head(poison, (head) => head.epoch === attempt && head.status === 'running');
    const worker = (await claims()).find(({ name }) => name === owner);
    process.kill(worker!.pid, 'SIGKILL');
  }
  const result = await cluster.result(poison);
  assert.deepEqual([result.status, result.failure?.code], ['failed', 'stuck']);
  await zero();
  assert.ok((await claims()).length <= limits.stuckAttempts + 1, `${(await claims()).length} workers`);
});

test('a clock that calls: --once says what it would start, --once --scale does it, and a pause holds it', async (t) => {
  const { cluster, scaling, claims, zero } = await setUp(t);
  const call = async (...args: string[]) => {
    const env = { ...cluster.commandEnv, ...cluster.workerEnv, ...scaling };
    const { stdout } = await promisify(execFile)(process.execPath, [main, ...args], { env });
    return stdout;
  };
  const jobId = await cluster.submitText('job-ticked', letters(1000), scoreTask);
  const dry = JSON.parse(await call('--once', '--json'));
  assert.deepEqual(dry.scaling.models[0].decision.start, [{ market: 'spot', count: 1 }]);
  assert.deepEqual(await claims(), []);
  await call('scaling', 'pause', '--reason', 'prices');
  assert.match(await call('--once', '--scale'), /test: starts nothing: scaling is paused since .*: prices/);
  assert.deepEqual(await claims(), []);
  await call('scaling', 'resume');
  assert.match(await call('--once', '--scale'), /test: starts 1 on spot/);
  assert.equal((await cluster.result(jobId)).status, 'succeeded');
  assert.match(await call('scaling', 'show'), /worker-[0-9a-f]{16} {2}test {2}spot/);
  await waitFor(
    async () => ((await claims()).every(({ pid }) => !isAlive(pid)) ? true : null),
    30_000,
    () => 'the worker to end',
  );
  await call('--once', '--scale');
  await zero();
});
