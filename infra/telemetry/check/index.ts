import { checked, type Result, skipped } from '../../../scripts/checks/report.ts';
import { checkCollector } from './collector.ts';
import { checkCommitted, checkDashboards } from './dashboards.ts';
import { checkNames, checkTraces } from './expressions.ts';
import { checkLeaving } from './leaving.ts';
import { findPrometheus, noPrometheus } from './programs.ts';
import { checkWithPromtool } from './prometheus.ts';
import { checkProvisioning } from './provisioning.ts';
import { checkRunbook, readRules } from './rules.ts';

/** Every check of infra/telemetry that a plain machine can make; those that need Prometheus are skipped with that reason. */
export async function checkTelemetry(env: Readonly<Record<string, string | undefined>>): Promise<Result[]> {
  const rules = await readRules();
  const programs = await findPrometheus(env);
  return [
    await checked('runbook', () => checkRunbook(rules)),
    await checked('what no scrape sees', () => checkLeaving(rules)),
    await checked('metric names', async () => checkNames(rules)),
    await checked('trace names', async () => checkTraces()),
    await checked('dashboards', async () => checkDashboards()),
    await checked('dashboards as committed', checkCommitted),
    await checked('provisioning', checkProvisioning),
    await checked('collector', checkCollector),
    ...(programs === null
      ? ['prometheus configurations', 'rules', 'rule tests', 'expressions'].map((name) => skipped(name, noPrometheus))
      : await checkWithPromtool(programs.promtool, rules)),
  ];
}
