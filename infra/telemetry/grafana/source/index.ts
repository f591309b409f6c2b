import { cost } from './cost.ts';
import { type Dashboard, dashboardJson } from './dashboard.ts';
import { fleet } from './fleet.ts';
import { job } from './job.ts';

export type { Dashboard, Row } from './dashboard.ts';
export type { Panel, Target } from './panels.ts';

export const dashboards: readonly Dashboard[] = [fleet, job, cost];

/** The files of `grafana/dashboards/` by their names, as they are to be committed. */
export function dashboardFiles(): ReadonlyMap<string, string> {
  return new Map(
    dashboards.map((dashboard) => [`${dashboard.name}.json`, `${JSON.stringify(dashboardJson(dashboard), null, 2)}\n`]),
  );
}
