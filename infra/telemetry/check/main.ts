import { parseArgs } from 'node:util';
import { render } from '../../../scripts/checks/report.ts';
import { writeDashboards } from './dashboards.ts';
import { checkTelemetry } from './index.ts';

const usage = `usage: npm run check:telemetry -- [--write] [--json]

Checks what watches the fleet (infra/telemetry): Prometheus configurations, rules and alerts with their unit tests, the
runbook's entries, the collector's configuration, Grafana's dashboards and provisioning; and that every metric, label, span
and attribute that they ask for is one that longhaul records. Exit code 1 where anything is wrong. Without promtool what
needs it is skipped and said so.

  --write   first makes grafana/dashboards/*.json and their page docs/dashboards.md from grafana/source/
  --json    one JSON object: {"results": [{"check", "outcome", "note", "faults"}], "wrote": [file]}

example: npm run check:telemetry -- --write
`;

const { values } = parseArgs({
  options: {
    write: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

if (values.help) process.stdout.write(usage);
else {
  const wrote = values.write ? await writeDashboards() : [];
  const results = await checkTelemetry(process.env);
  if (values.json) process.stdout.write(`${JSON.stringify({ results, wrote })}\n`);
  else process.stdout.write(`${wrote.map((file) => `wrote    ${file}\n`).join('')}${render(results)}`);
  if (results.some(({ outcome }) => outcome === 'failed')) process.exitCode = 1;
}
