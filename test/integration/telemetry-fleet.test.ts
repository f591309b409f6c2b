import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { panelExpressions } from '../../infra/telemetry/check/expressions.ts';
import { telemetryDir } from '../../infra/telemetry/check/files.ts';
import { type Exporter, startExporter } from '../support/exporter.ts';
import { madeUpFleet } from '../support/made-up-fleet.ts';
import { startTestPrometheus, type TestPrometheus, withoutPrometheus } from '../support/prometheus.ts';

// One Prometheus for all: it takes some seconds to find its targets. Its rules are the fleet's own, but wait three seconds
// where those wait minutes.
let dir: string;
let exporter: Exporter;
let prometheus: TestPrometheus;
let steps = 0;
const fleet = () => {
  steps += 1;
  return madeUpFleet(steps);
};

before(async () => {
  if (withoutPrometheus !== false) return;
  dir = await mkdtemp(join(tmpdir(), 'longhaul-rules-'));
  const rules = await readFile(join(telemetryDir, 'alerts.yaml'), 'utf8');
  const ruleFile = join(dir, 'alerts.yaml');
  await writeFile(ruleFile, rules.replaceAll(/for: \d+m/g, 'for: 3s'));
  exporter = await startExporter(fleet);
  const { target } = exporter;
  prometheus = await startTestPrometheus({
    scrapes: ['worker', 'controller', 'api'].map((kind) => ({ job: `longhaul-${kind}`, targets: [target] })),
    ruleFiles: [ruleFile],
  });
  await prometheus.waitForTargets();
});

after(async () => {
  await prometheus?.close();
  await exporter?.close();
  if (dir !== undefined) await rm(dir, { recursive: true, force: true });
});

test('every panel shows something of a fleet that records every metric', { skip: withoutPrometheus }, async () => {
  const expressions = panelExpressions(10);
  assert.ok(expressions.length > 60, `${expressions.length} expressions`);
  for (const { where, promql } of expressions) {
    const holds = (samples: readonly { value: number }[]) => samples.some(({ value }) => Number.isFinite(value));
    await prometheus.waitFor(promql, holds).catch((error: unknown) => assert.fail(`${where}: ${error}`));
  }
});

test('an alert is pending, fires with words that a person can act on, and is over', {
  skip: withoutPrometheus,
}, async () => {
  const age = 'longhaul_queue_oldest_age{longhaul_model="m"}';
  const ofAge = (state: string) => `ALERTS{alertname="LonghaulQueueAge",alertstate="${state}"}`;
  assert.deepEqual(await prometheus.query(ofAge('firing')), []);
  exporter.set(() => ({ ...fleet(), [age]: 7200 }));
  // Pending is over after some seconds: whoever asks late finds that it was.
  await prometheus.waitFor(`max_over_time(${ofAge('pending')}[5m])`);
  await prometheus.waitFor(ofAge('firing'));
  const alert = (await prometheus.alerts()).find(({ name }) => name === 'LonghaulQueueAge');
  assert.deepEqual(alert?.labels, { alertname: 'LonghaulQueueAge', severity: 'warning', longhaul_model: 'm' });
  assert.equal(alert?.annotations['summary'], 'A job of m has waited for 2h 0m 0s');
  assert.equal(alert?.annotations['runbook'], 'docs/runbook.md#longhaulqueueage');
  exporter.set(fleet);
  await prometheus.waitFor(`absent(${ofAge('firing')})`);
});

test('what fires says so without a gap in its words', { skip: withoutPrometheus }, async () => {
  // Gauges that are 1 are a breaker that is open, a loop that fails, an orphan and a quarantined job.
  await prometheus.waitFor('ALERTS{alertname="LonghaulBudgetSpent",alertstate="firing"}');
  const alerts = await prometheus.alerts();
  assert.ok(alerts.length >= 4, alerts.map(({ name }) => name).join(', '));
  for (const { name, annotations } of alerts) {
    for (const text of Object.values(annotations))
      assert.doesNotMatch(text, /<no value>|<error|%!| of {2}|undefined/, name);
  }
});
