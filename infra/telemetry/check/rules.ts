import { z } from 'zod';
import { judged, type Result } from '../../../scripts/checks/report.ts';
import { readText, readYaml } from './files.ts';

const duration = z.string().regex(/^\d+[smhd]$/);
const line = z
  .string()
  .min(1)
  .refine((text) => !text.includes('\n'), 'one line');

const Alert = z.strictObject({
  alert: z.string().regex(/^Longhaul[A-Z]\w+$/),
  expr: z.string().min(1),
  for: duration,
  labels: z.strictObject({ severity: z.enum(['critical', 'warning', 'info']) }),
  annotations: z.strictObject({
    summary: line.max(140),
    description: line,
    runbook: z.string(),
  }),
});
export type Alert = z.infer<typeof Alert>;

const Recording = z.strictObject({
  record: z.string().regex(/^[a-z_]+:longhaul_[a-z_]+:[a-z0-9_]+$/),
  expr: z.string(),
});

const RuleFile = z.strictObject({
  groups: z.array(z.strictObject({ name: z.string(), rules: z.array(z.union([Alert, Recording])).min(1) })).min(1),
});

const TestFile = z.object({
  tests: z.array(
    z.object({
      name: z.string(),
      input_series: z.array(z.object({ series: z.string() })),
      promql_expr_test: z.array(z.object({ exp_samples: z.array(z.object({ labels: z.string() })) })),
    }),
  ),
});

export interface Rules {
  readonly alerts: readonly Alert[];
  readonly recordings: readonly z.infer<typeof Recording>[];
  /** Series that the unit tests make up. */
  readonly testSeries: readonly string[];
  /** Names of the alerts that a unit test sees firing. */
  readonly tested: ReadonlySet<string>;
}

export async function readRules(): Promise<Rules> {
  const file = RuleFile.parse(await readYaml('infra/telemetry/alerts.yaml'));
  const rules = file.groups.flatMap((group) => group.rules);
  const { tests } = TestFile.parse(await readYaml('infra/telemetry/alerts.test.yaml'));
  const samples = tests.flatMap((test) => test.promql_expr_test.flatMap(({ exp_samples }) => exp_samples));
  return {
    alerts: rules.filter((rule) => 'alert' in rule),
    recordings: rules.filter((rule) => 'record' in rule),
    testSeries: tests.flatMap((test) => test.input_series.map(({ series }) => series)),
    tested: new Set(samples.flatMap(({ labels }) => /alertname="(\w+)"/.exec(labels)?.[1] ?? [])),
  };
}

/** What an entry of the runbook says, in this order. */
const parts = ['**Means.**', '**Look at**', '**Type.**', '```sh'];

/** Each alert has its entry of docs/runbook.md and a unit test in which it fires; each entry has its alert. */
export async function checkRunbook({ alerts, tested }: Rules): Promise<Result> {
  const text = await readText('docs/runbook.md');
  const entries = new Map(
    text
      .split(/^### /m)
      .slice(1)
      .map((entry) => [entry.split('\n', 1)[0]!.trim(), entry.split(/^## /m)[0]!]),
  );
  const faults: string[] = [];
  const names = alerts.map(({ alert }) => alert);
  for (const { alert, annotations } of alerts) {
    const link = `docs/runbook.md#${alert.toLowerCase()}`;
    if (annotations.runbook !== link) faults.push(`${alert}: its runbook is ${annotations.runbook}, not ${link}`);
    if (!entries.has(alert)) faults.push(`${alert}: docs/runbook.md has no entry "### ${alert}"`);
    if (!tested.has(alert)) faults.push(`${alert}: no case of alerts.test.yaml sees it fire`);
    if (names.indexOf(alert) !== names.lastIndexOf(alert)) faults.push(`${alert}: there are two of it`);
  }
  for (const [name, entry] of entries) {
    if (!names.includes(name)) faults.push(`docs/runbook.md: "### ${name}" is no alert`);
    const places = parts.map((part) => entry.indexOf(part));
    if (places.some((place, i) => place <= (places[i - 1] ?? -1))) {
      faults.push(`docs/runbook.md: "### ${name}" is to say ${parts.join(', ')}, in this order`);
    }
  }
  return judged('runbook', `${alerts.length} alerts, ${entries.size} entries`, faults);
}
