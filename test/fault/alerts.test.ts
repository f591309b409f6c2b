import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { telemetryDir } from '../../infra/telemetry/check/files.ts';
import { Cluster, models, waitFor } from '../support/cluster.ts';
import { startTestPrometheus, type TestPrometheus, withoutPrometheus } from '../support/prometheus.ts';
import { bookBytes, generateTask } from './shared.ts';

let cluster: Cluster;
let prometheus: TestPrometheus;

// The fleet's own rules, with eight seconds where they wait minutes.
before(async () => {
  if (withoutPrometheus !== false) return;
  cluster = await Cluster.start({
    model: models.tinyEnglish,
    env: { LONGHAUL_COMMIT_SECONDS: '0.5', LONGHAUL_MODELS: 'test', LONGHAUL_METRICS_ADDRESS: '127.0.0.1:0' },
  });
  const processes = {
    'longhaul-api': await cluster.startApi(),
    'longhaul-controller': await cluster.startController(),
    'longhaul-worker': await cluster.startWorker('worker'),
  };
  const scrapes = await Promise.all(
    Object.entries(processes).map(async ([job, process]) => {
      const { url } = JSON.parse(await process.says('metrics are served')) as { url: string };
      return { job, targets: [new URL(url).host] };
    }),
  );
  const rules = await readFile(join(telemetryDir, 'alerts.yaml'), 'utf8');
  const ruleFile = join(cluster.dir, 'alerts.yaml');
  await writeFile(ruleFile, rules.replaceAll(/for: \d+m/g, 'for: 8s'));
  prometheus = await startTestPrometheus({ scrapes, ruleFiles: [ruleFile] });
  await prometheus.waitForTargets();
});
after(async () => {
  await prometheus?.close();
  await cluster?.close();
});

/** What tells of the machine's speed is not of this test, which may run on a busy one. */
const ofTheMachine = ['LonghaulEventLoopSlow', 'LonghaulCommitSlow'];

async function firing(): Promise<string[]> {
  const alerts = await prometheus.alerts();
  const names = alerts.filter(({ state }) => state === 'firing').map(({ name }) => name);
  return names.filter((name) => !ofTheMachine.includes(name)).sort();
}

test('a fleet at work calls nobody', { skip: withoutPrometheus }, async () => {
  const jobId = await cluster.submitText('job-alerts', await bookBytes(20_000), generateTask(2000, 0));
  await prometheus.waitFor('model:longhaul_tokens_generated:rate5m > 0');
  assert.equal((await cluster.result(jobId)).status, 'succeeded');
  // Each rule has been looked at for longer than it waits: what is wrong by itself would fire by now.
  await prometheus.waitFor('count_over_time(model:longhaul_slots:sum[1m]) >= 12');
  assert.deepEqual(await firing(), []);
  assert.equal((await prometheus.query('longhaul_loop_failing == 0')).length > 0, true);
});

test('a controller and a worker that are killed are missed, each by its own alert', {
  skip: withoutPrometheus,
}, async () => {
  await Promise.all([...cluster.controllers, ...cluster.workers].map((process) => process.stop('SIGKILL')));
  await waitFor(
    async () => ((await firing()).length >= 2 ? true : null),
    60_000,
    () => 'two alerts that fire',
  );
  assert.deepEqual(await firing(), ['LonghaulControllerDown', 'LonghaulWorkerDown']);
});
