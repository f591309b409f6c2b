import { spawn } from 'node:child_process';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { checked, judged, type Result } from '../../../scripts/checks/report.ts';
import { type Expression, expressionsOf } from './expressions.ts';
import { readYaml, telemetryDir } from './files.ts';
import type { Rules } from './rules.ts';

/** What Prometheus' own tool says of configurations, rules, their unit tests, and every expression of the dashboards. */
export async function checkWithPromtool(promtool: string, rules: Rules): Promise<Result[]> {
  const dir = await mkdtemp(path.join(tmpdir(), 'longhaul-telemetry-'));
  try {
    await cp(telemetryDir, dir, { recursive: true });
    return [
      await checked('prometheus configurations', () => checkConfigurations(promtool, dir)),
      await checked('rules', () =>
        asked('rules', 'alerts.yaml', promtool, ['check', 'rules', '--lint-fatal', 'alerts.yaml'], dir),
      ),
      await checked('rule tests', () =>
        asked('rule tests', 'alerts.test.yaml', promtool, ['test', 'rules', 'alerts.test.yaml'], dir),
      ),
      await checked('expressions', () => checkExpressions(promtool, dir, expressionsOf(rules))),
    ];
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

const configurations = [
  'prometheus.yaml',
  'prometheus.files.yaml',
  'prometheus.kubernetes.yaml',
  'prometheus.otlp.yaml',
];

/** Debian's build knows nothing of Kubernetes: there the rest of that file is checked, and its discovery is not. */
async function checkConfigurations(promtool: string, dir: string): Promise<Result> {
  const faults: string[] = [];
  const notes: string[] = [];
  for (const file of configurations) {
    let said = await run(promtool, ['check', 'config', file], dir);
    if (said.code !== 0 && said.output.includes('kubernetes_sd_configs not found in type')) {
      const config = (await readYaml('infra/telemetry', file)) as { scrape_configs: Record<string, unknown>[] };
      const rest = config.scrape_configs.map(({ kubernetes_sd_configs: _, ...scrape }) => scrape);
      await writeFile(path.join(dir, file), stringify({ ...config, scrape_configs: rest }));
      said = await run(promtool, ['check', 'config', file], dir);
      notes.push(`; this promtool knows no Kubernetes: the discovery in ${file} was not checked`);
    }
    if (said.code !== 0) faults.push(`${file}: ${said.output}`);
  }
  return judged('prometheus configurations', `${configurations.length} files${notes.join('')}`, faults);
}

/** All expressions as one file of rules: one start of the tool parses them all, and it names the rule of each that it refuses. */
export async function checkExpressions(
  promtool: string,
  dir: string,
  expressions: readonly Expression[],
): Promise<Result> {
  const rules = expressions.map(({ promql }, i) => ({ record: `expression:${i}`, expr: promql }));
  const file = 'expressions.rules.yaml';
  await writeFile(path.join(dir, file), stringify({ groups: [{ name: 'expressions', rules }] }, { lineWidth: 0 }));
  const { code, output } = await run(promtool, ['check', 'rules', '--lint=none', file], dir);
  const faults = [...output.matchAll(/"expression:(\d+)".*?could not parse expression: (.*)/g)].map(
    ([, i, why]) => `${expressions[Number(i)]!.where}: ${why}: ${expressions[Number(i)]!.promql}`,
  );
  if (code !== 0 && faults.length === 0) faults.push(output);
  return judged('expressions', `${expressions.length} parsed by Prometheus`, faults);
}

async function asked(
  check: string,
  note: string,
  promtool: string,
  args: readonly string[],
  dir: string,
): Promise<Result> {
  const { code, output } = await run(promtool, args, dir);
  return judged(check, note, code === 0 ? [] : [output]);
}

async function run(
  program: string,
  args: readonly string[],
  cwd: string,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => child.on('close', resolve).on('error', reject));
  return { code, output: output.trim() };
}
