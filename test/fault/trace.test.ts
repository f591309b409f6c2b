import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { attribute, metric, prometheusName, spanName } from '@longhaul/core/telemetry';
import { clientOf, keyFor } from '../support/api-client.ts';
import { Cluster, models, waitFor } from '../support/cluster.ts';
import { runLonghaul } from '../support/command-line.ts';
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from '../support/otlp-receiver.ts';
import { startTestPrometheus, withoutPrometheus } from '../support/prometheus.ts';
import { bookBytes } from './shared.ts';

let cluster: Cluster;
let collector: OtlpReceiver;
/** Where each process serves its metrics. */
const addresses = new Map<string, string>();

/** What a caller of the API sends: its trace, and the span that it asks from. */
const caller = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' };
let jobId = '';
let trace: readonly ReceivedSpan[] = [];

before(async () => {
  collector = await startOtlpReceiver();
  cluster = await Cluster.start({
    model: models.tinyEnglish,
    env: {
      LONGHAUL_COMMIT_SECONDS: '0.3',
      // A machine that stalls for seconds must not make a third attempt of it.
      LONGHAUL_LOCK_MS: '8000',
      LONGHAUL_MODELS: 'test',
      LONGHAUL_METRICS_ADDRESS: '127.0.0.1:0',
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_BSP_SCHEDULE_DELAY: '100',
      OTEL_METRIC_EXPORT_INTERVAL: '500',
    },
  });
  const [api, controller, victim] = await Promise.all([
    cluster.startApi(),
    cluster.startController(),
    cluster.startWorker('victim'),
  ]);
  const post = clientOf(await api.url(), await keyFor(cluster.store, 'acme'));
  const document = { text: (await bookBytes(20_000)).toString('latin1').replaceAll(/[^\n -~]/g, '') };
  const body = { task: 'generate', document, max_new_tokens: 2500, save_as: 'read' };
  const made = await post('POST', '/v1/jobs', body, {
    traceparent: `00-${caller.traceId}-${caller.spanId}-01`,
  });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  jobId = (made.body as { jobId: string }).jobId;
  await cluster.progress(jobId, ({ outputTokens }) => outputTokens >= 300);
  await collector.spansThat(
    (spans) => spans.some(({ name, instance }) => name === spanName.commit && instance === 'victim'),
    'a commit of the worker that is killed',
  );
  await victim.stop('SIGKILL');
  // Nobody else is there to find the job.
  await controller.says('came back from a lost worker');
  await cluster.startWorker('survivor');
  assert.equal((await cluster.result(jobId)).status, 'succeeded');
  // The last thing that is told of a job is its own span.
  const all = await collector.spansThat(
    (spans) => spans.some(({ name }) => name === spanName.job),
    'the end of the job',
  );
  trace = all.filter(({ traceId }) => traceId === caller.traceId);
  for (const process of [...cluster.workers.slice(1), ...cluster.controllers, ...cluster.apis]) {
    const { url } = JSON.parse(await process.says('metrics are served')) as { url: string };
    addresses.set(process.id, url);
  }
});
after(async () => {
  await cluster?.close();
  await collector?.close();
});

const named = (name: string) => trace.filter((span) => span.name === name);
const only = (name: string) => {
  const [span, ...more] = named(name);
  assert.ok(span !== undefined && more.length === 0, `${1 + more.length} spans ${name}`);
  return span;
};
const epochOf = ({ attributes }: ReceivedSpan) => attributes[attribute.epoch];

test("a job is one trace: its caller's, through submit, the attempt that was killed and its commits, to the result", () => {
  const of = collector.spans.filter(({ attributes }) => attributes[attribute.jobId] === jobId);
  assert.deepEqual([...new Set(of.map(({ traceId }) => traceId))], [caller.traceId]);
  assert.equal(new Set(trace.map(({ spanId }) => spanId)).size, trace.length, 'a span was told twice');
  assert.deepEqual([...new Set(trace.map(({ service }) => service))].sort(), [
    'longhaul-api',
    'longhaul-controller',
    'longhaul-worker',
  ]);

  const request = only('POST /v1/jobs');
  assert.equal(request.parentSpanId, caller.spanId);
  const submit = only(spanName.submit);
  assert.equal(submit.parentSpanId, request.spanId);
  const job = only(spanName.job);
  assert.equal(job.parentSpanId, submit.spanId);
  assert.equal(job.attributes[attribute.outcome], 'done');
  assert.equal(job.attributes[attribute.attempts], 2);

  const [lost, second, ...others] = named(spanName.attempt).sort((a, b) => Number(a.start - b.start));
  assert.ok(lost !== undefined && second !== undefined && others.length === 0);
  for (const attempt of [lost, second]) assert.equal(attempt.parentSpanId, job.spanId);
  // Its own worker did not live to tell it: the one that went on did.
  assert.equal(lost.attributes[attribute.worker], 'victim');
  assert.equal(lost.instance, 'survivor');
  assert.equal(lost.attributes[attribute.lost], true);
  assert.ok(lost.failed && lost.end >= lost.start);
  assert.equal(second.attributes[attribute.worker], 'survivor');
  assert.equal(second.attributes[attribute.resumed], true);
  assert.equal(second.attributes[attribute.outcome], 'done');

  const commits = named(spanName.commit);
  for (const [attempt, instance] of [
    [lost, 'victim'],
    [second, 'survivor'],
  ] as const) {
    const own = commits.filter((commit) => epochOf(commit) === epochOf(attempt));
    assert.ok(own.length > 0, `no commit of ${instance}`);
    for (const commit of own) {
      assert.equal(commit.instance, instance);
      assert.equal(commit.parentSpanId, attempt.spanId);
    }
  }
  for (const name of [spanName.resume, spanName.generate, spanName.publish, spanName.result]) {
    assert.ok(
      named(name).some(({ parentSpanId, instance }) => parentSpanId === second.spanId && instance === 'survivor'),
      `${name} of the attempt that went on`,
    );
  }
  for (const wait of named(spanName.queueWait)) assert.equal(wait.parentSpanId, job.spanId);
  assert.deepEqual(named(spanName.queueWait).map(epochOf).sort(), [epochOf(lost), epochOf(second)]);
});

test('the controller tells in the same trace that it brought the job back', () => {
  const tended = named(spanName.tend);
  assert.ok(tended.some(({ attributes }) => attributes[attribute.result] === 'reaped'));
  for (const { service, parentSpanId } of tended) {
    assert.equal(service, 'longhaul-controller');
    assert.equal(parentSpanId, only(spanName.job).spanId);
  }
});

test("a command is a part of its shell's trace, and so is the job that it makes", async () => {
  const shell = { traceId: 'c'.repeat(32), spanId: 'd'.repeat(16) };
  const env = {
    ...cluster.commandEnv,
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    TRACEPARENT: `00-${shell.traceId}-${shell.spanId}-01`,
  };
  const args = ['submit', '--text', 'It was a dark and stormy night.', '--task', 'score', '--json'];
  const { code, out, err } = await runLonghaul(args, { cwd: cluster.dir, env });
  assert.equal(code, 0, err);
  const { jobId: own } = JSON.parse(out) as { jobId: string };
  assert.equal((await cluster.result(own)).status, 'succeeded');
  const of = (spans: readonly ReceivedSpan[]) => spans.filter(({ traceId }) => traceId === shell.traceId);
  const spans = of(
    await collector.spansThat((all) => of(all).some(({ name }) => name === spanName.job), 'the end of the job'),
  );
  const [submit] = spans.filter(({ name }) => name === spanName.submit);
  assert.equal(submit?.service, 'longhaul-cli');
  assert.equal(submit.parentSpanId, shell.spanId);
  const [job] = spans.filter(({ name }) => name === spanName.job);
  assert.equal(job?.parentSpanId, submit.spanId);
  assert.equal(spans.find(({ name }) => name === spanName.read)?.attributes[attribute.chunks], 1);
});

test('log lines of the job name its trace', () => {
  const lines = cluster.workers.flatMap(({ lines }) => lines).filter((line) => line.includes(`"job":"${jobId}"`));
  const said = lines.map((line) => JSON.parse(line) as { msg: string; trace_id?: string });
  for (const msg of ['job taken', 'job ended']) {
    assert.equal(said.findLast((line) => line.msg === msg)?.trace_id, caller.traceId, msg);
  }
});

/** What one run of this kind must tell, by OTLP and on `/metrics`. */
const expected = [
  ...[metric.tokensRead, metric.tokensGenerated, metric.tokensRecomputed, metric.commits, metric.commitSeconds],
  ...[
    metric.chunkSeconds,
    metric.startSeconds,
    metric.loopDelaySeconds,
    metric.jobsSettled,
    metric.jobsActive,
    metric.slots,
  ],
  ...[metric.resumeSeconds, metric.genAiTokens, metric.genAiRequestSeconds, metric.genAiTokenSeconds],
  ...[metric.queueJobs, metric.queueDemand, metric.queueOldestSeconds, metric.loopFailing, metric.sweepJobs],
  ...[metric.httpSeconds, metric.jobsSubmitted],
];

test('metrics arrive by OTLP, each as the table says', async () => {
  const arrived = () => new Set(collector.points().map(({ name }) => name));
  await waitFor(
    async () => (expected.every(({ name }) => arrived().has(name)) ? true : null),
    30_000,
    () => `metrics; missing: ${expected.flatMap(({ name }) => (arrived().has(name) ? [] : [name])).join(', ')}`,
  );
  const table = new Map(Object.values(metric).map((definition) => [definition.name, definition]));
  for (const { name, unit, attributes, service } of collector.points()) {
    const definition = table.get(name);
    assert.ok(definition !== undefined, `${name} is not in the table`);
    assert.equal(unit, definition.unit, name);
    assert.ok((definition.by as readonly string[]).includes(service.replace('longhaul-', '')), `${name} of ${service}`);
    const strange = Object.keys(attributes).filter((key) => !definition.attributes.includes(key));
    assert.deepEqual(strange, [], name);
  }
});

test('/metrics, /healthz and /readyz answer in worker, controller and API, and tell no secret', async () => {
  assert.deepEqual([...addresses.keys()].sort(), ['api', 'controller', 'survivor']);
  const texts = new Map<string, string>();
  for (const [id, url] of addresses) {
    for (const path of ['/healthz', '/readyz', '/metrics']) {
      const answer = await fetch(`${url}${path}`);
      assert.equal(answer.status, 200, `${path} of ${id}`);
      texts.set(id, await answer.text());
    }
    assert.equal((await fetch(`${url}/`)).status, 404);
    assert.equal((await fetch(`${url}/metrics`, { method: 'POST' })).status, 405);
  }
  const all = [...texts.values()].join('\n');
  // The victim's counts went with it.
  const missing = expected.map(prometheusName).filter((name) => !new RegExp(`^# TYPE ${name} `, 'm').test(all));
  assert.deepEqual(missing, []);
  const known = new Set(Object.values(metric).map(prometheusName));
  const strange = [...all.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name!).filter((name) => !known.has(name));
  assert.deepEqual(new Set(strange), new Set(['target_info']));
  for (const secret of [cluster.redis.url, cluster.dir, jobId, 'acme', 'lh_']) {
    assert.ok(!all.includes(secret), `${secret} is told`);
  }
});

test('a real Prometheus scrapes all three', { skip: withoutPrometheus }, async () => {
  const scrapes = [...addresses].map(([job, url]) => ({ job, targets: [new URL(url).host] }));
  const prometheus = await startTestPrometheus({ scrapes });
  try {
    await prometheus.waitForTargets();
    const name = prometheusName(metric.jobsSettled);
    const [settled] = await prometheus.waitFor(`sum(${name}{longhaul_outcome="done"})`);
    assert.ok((settled?.value ?? 0) >= 1);
    await prometheus.waitFor(
      `histogram_quantile(0.5, sum by (le) (${prometheusName(metric.commitSeconds)}_bucket)) > 0`,
    );
  } finally {
    await prometheus.close();
  }
});

test('a drain: the worker is not ready any more, hands nothing back late, and says its last words', async () => {
  const [, survivor] = cluster.workers;
  await survivor!.stop('SIGTERM');
  assert.equal(survivor!.child.exitCode, 0);
  const names = new Set(
    collector
      .points()
      .filter(({ instance }) => instance === 'survivor')
      .map(({ name }) => name),
  );
  assert.ok(names.has(metric.preemptions.name) && names.has(metric.flushSeconds.name), [...names].join(' '));
});
