import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { hasEnded } from '@longhaul/core/contracts';
import { Cluster, models } from '../support/cluster.ts';
import { bookBytes, generateTask } from './shared.ts';

test('a collector that is away, and an address that is taken, cost a worker nothing but a line each', async (t) => {
  // It takes what it is sent, and never answers.
  const silent = createServer().listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.after(() => silent.close().closeAllConnections());
  const address = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const cluster = await Cluster.start({
    model: models.tinyEnglish,
    env: {
      LONGHAUL_COMMIT_SECONDS: '0.2',
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `http://${address}/v1/traces`,
      // Nothing listens there.
      OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://127.0.0.1:9/v1/metrics',
      OTEL_EXPORTER_OTLP_TIMEOUT: '4000',
      OTEL_BSP_SCHEDULE_DELAY: '50',
      OTEL_METRIC_EXPORT_INTERVAL: '200',
      LONGHAUL_METRICS_ADDRESS: address,
    },
  });
  t.after(() => cluster.close());
  const worker = await cluster.startWorker('worker');
  assert.ok(worker.lines.some((line) => line.includes('metrics cannot be served; work goes on')));
  const jobs = await Promise.all(
    ['one', 'two'].map(async (name) =>
      cluster.submitText(`job-away-${name}`, await bookBytes(4000), generateTask(200, 0)),
    ),
  );
  for (const jobId of jobs) assert.equal((await cluster.result(jobId)).status, 'succeeded');
  const told = async (what: string) => {
    await worker.says(`${what} are lost: the collector does not take them; work goes on`);
    return worker.lines.filter((line) => line.includes(`${what} are lost`)).length;
  };
  assert.deepEqual([await told('spans'), await told('metrics')], [1, 1]);
  const ms = await worker.stop('SIGTERM');
  assert.equal(worker.child.exitCode, 0);
  t.diagnostic(`gone after ${Math.round(ms)} ms`);
  // It is not waited for beyond two seconds of last words; the rest is a slow machine.
  assert.ok(ms < 15_000, `${ms} ms`);
  assert.ok(!worker.lines.some((line) => /unhandled|rejection/i.test(line)), worker.lines.join('\n'));
});

test('/healthz answers while the engine works, and /readyz says when the worker does not take jobs', async (t) => {
  const cluster = await Cluster.start({
    model: models.tinyEnglish,
    env: { LONGHAUL_METRICS_ADDRESS: '127.0.0.1:0', LONGHAUL_COMMIT_SECONDS: '0.5' },
  });
  t.after(() => cluster.close());
  const launched = cluster.launchWorker('worker');
  const { url } = JSON.parse(await launched.says('metrics are served')) as { url: string };
  // It is alive from the first moment, and ready when it has loaded.
  assert.equal((await fetch(`${url}/healthz`)).status, 200);
  await launched.says('"ready"');
  assert.equal((await fetch(`${url}/readyz`)).status, 200);
  const jobId = await cluster.submitText('job-healthy', await bookBytes(20_000), generateTask(200, 0));
  let asked = 0;
  while (!hasEnded((await cluster.ledger.readHead(jobId))!.status)) {
    assert.equal((await fetch(`${url}/healthz`)).status, 200);
    asked += 1;
  }
  assert.ok(asked > 0);
  t.diagnostic(`${asked} answers while a job was read and written`);
  const [stopping, readiness] = await Promise.all([
    launched.stop('SIGTERM'),
    fetch(`${url}/readyz`).then(
      ({ status }) => status,
      () => 'gone',
    ),
  ]);
  t.diagnostic(`/readyz: ${readiness}; gone after ${Math.round(stopping)} ms`);
  assert.equal(launched.child.exitCode, 0);
});
