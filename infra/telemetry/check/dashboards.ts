import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { judged, type Result } from '../../../scripts/checks/report.ts';
import { dashboardFiles, dashboards } from '../grafana/source/index.ts';
import { repository, telemetryDir } from './files.ts';
import { describedDashboards } from './layout.ts';

const folder = path.join(telemetryDir, 'grafana', 'dashboards');
const page = path.join(repository, 'docs', 'dashboards.md');

const Reference = z.strictObject({ type: z.enum(['prometheus', 'tempo']), uid: z.string() });
const Panel = z.object({
  id: z.int().positive(),
  type: z.enum(['row', 'timeseries', 'stat', 'table', 'text']),
  title: z.string().min(1),
  description: z.string().optional(),
  gridPos: z.strictObject({ x: z.int().min(0), y: z.int().min(0), w: z.int().min(1), h: z.int().min(1) }),
  datasource: Reference.optional(),
  targets: z.array(z.looseObject({ refId: z.string().regex(/^[A-Z]$/), datasource: Reference })).optional(),
});
const DashboardJson = z.object({
  uid: z
    .string()
    .regex(/^longhaul-[a-z]+$/)
    .max(40),
  title: z.string().min(1),
  schemaVersion: z.literal(39),
  templating: z.object({
    list: z.array(z.object({ name: z.string(), type: z.enum(['datasource', 'query', 'textbox']) })),
  }),
  panels: z.array(Panel).min(1),
});
type DashboardJson = z.infer<typeof DashboardJson>;

/** Writes the dashboards and their page as the source has them. Returns what it wrote. */
export async function writeDashboards(): Promise<string[]> {
  const files = [...dashboardFiles()].map(([name, text]) => ({ file: path.join(folder, name), text }));
  files.push({ file: page, text: describedDashboards(await readFile(page, 'utf8'), dashboards) });
  for (const { file, text } of files) await writeFile(file, text);
  return files.map(({ file }) => path.relative(repository, file));
}

/** What is committed is what the source gives. */
export async function checkCommitted(): Promise<Result> {
  const again = 'type "npm run check:telemetry -- --write"';
  const faults: string[] = [];
  const files = dashboardFiles();
  for (const [name, text] of files) {
    const committed = await readFile(path.join(folder, name), 'utf8').catch(() => null);
    if (committed !== text) faults.push(`grafana/dashboards/${name} is not what its source gives: ${again}`);
  }
  for (const name of await readdir(folder)) {
    if (!files.has(name)) faults.push(`grafana/dashboards/${name} has no source`);
  }
  const text = await readFile(page, 'utf8');
  if (describedDashboards(text, dashboards) !== text)
    faults.push(`docs/dashboards.md does not show the panels: ${again}`);
  return judged('dashboards as committed', `${files.size} files and docs/dashboards.md`, faults);
}

/** Ids and titles are unique, panels have their place for themselves, and every variable that is used is there. */
export function checkDashboards(): Result {
  const faults: string[] = [];
  let panels = 0;
  for (const [name, text] of dashboardFiles()) {
    const parsed = DashboardJson.safeParse(JSON.parse(text));
    if (!parsed.success) {
      faults.push(`${name}: ${z.prettifyError(parsed.error)}`);
      continue;
    }
    panels += parsed.data.panels.length;
    faults.push(...faultsOf(parsed.data, text).map((fault) => `${name}: ${fault}`));
  }
  return judged('dashboards', `${panels} panels and rows`, faults);
}

export function faultsOf({ panels, templating }: DashboardJson, text: string): string[] {
  const faults: string[] = [];
  const twice = (what: string, values: readonly (string | number)[]) => {
    for (const value of new Set(values.filter((one, i) => values.indexOf(one) !== i)))
      faults.push(`${what} ${value} twice`);
  };
  twice(
    'panel id',
    panels.map(({ id }) => id),
  );
  let row = '';
  twice(
    'panel',
    panels.map(({ type, title }) => {
      if (type === 'row') row = title;
      return `${row} / ${title}`;
    }),
  );
  for (const [i, panel] of panels.entries()) {
    const { x, y, w, h } = panel.gridPos;
    if (x + w > 24) faults.push(`"${panel.title}" ends at column ${x + w} of 24`);
    const under = panels.slice(i + 1).find(({ gridPos: other }) => {
      return other.x < x + w && x < other.x + other.w && other.y < y + h && y < other.y + other.h;
    });
    if (under !== undefined) faults.push(`"${panel.title}" and "${under.title}" lie on one another`);
    if (panel.type !== 'row' && !/[?.]$/.test(panel.description ?? '')) {
      faults.push(`"${panel.title}" does not say what it answers`);
    }
    const refIds = (panel.targets ?? []).map(({ refId }) => refId);
    if (new Set(refIds).size < refIds.length) faults.push(`"${panel.title}" has two targets of one refId`);
  }
  const variables = templating.list.map(({ name }) => name);
  twice('variable', variables);
  // `$__…` and `${__…}` are Grafana's own.
  const used = new Set([...text.matchAll(/\$\{?([a-z]\w*)/g)].map(([, name]) => name!));
  for (const name of used) if (!variables.includes(name)) faults.push(`$${name} is no variable`);
  for (const name of variables) if (!used.has(name)) faults.push(`the variable ${name} is not used`);
  return faults;
}
