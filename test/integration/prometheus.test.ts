import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startExporter } from '../support/exporter.ts';
import { startTestPrometheus, withoutPrometheus } from '../support/prometheus.ts';

test('a real Prometheus scrapes what a process serves and answers for it', { skip: withoutPrometheus }, async () => {
  await using exporter = closing(await startExporter({ 'longhaul_slots{longhaul_model="m"}': 4 }));
  await using prometheus = closing(
    await startTestPrometheus({ scrapes: [{ job: 'longhaul-worker', targets: [exporter.target] }] }),
  );
  await prometheus.waitForTargets();
  assert.deepEqual(await prometheus.query('sum by (job, longhaul_model) (longhaul_slots)'), [
    { labels: { job: 'longhaul-worker', longhaul_model: 'm' }, value: 4 },
  ]);
  exporter.set({ 'longhaul_slots{longhaul_model="m"}': 5 });
  await prometheus.waitFor('longhaul_slots == 5');
  assert.equal(await prometheus.format('sum(longhaul_slots)by(job)'), 'sum by (job) (longhaul_slots)');
  await assert.rejects(prometheus.query('sum('), /sum\(: .*parse error/);
  await assert.rejects(prometheus.waitFor('longhaul_slots == 6', undefined, 0), /did not come to hold/);
});

test('a target that cannot be scraped is named with its reason', { skip: withoutPrometheus }, async () => {
  await using prometheus = closing(
    await startTestPrometheus({ scrapes: [{ job: 'longhaul-api', targets: ['127.0.0.1:1'] }] }),
  );
  await prometheus.waitFor('up == 0');
  await assert.rejects(prometheus.waitForTargets(0), /127\.0\.0\.1:1\/metrics down .*refused/);
});

const closing = <T extends { close(): Promise<void> }>(resource: T) =>
  Object.assign(resource, { [Symbol.asyncDispose]: () => resource.close() });
