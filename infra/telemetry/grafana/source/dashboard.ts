import type { Panel, Target } from './panels.ts';
import { prometheus, tempo, type Variable, variableJson } from './variables.ts';

export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

export interface Dashboard {
  /** Its file and the end of its address. */
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly variables: readonly Variable[];
  readonly rows: readonly Row[];
  /** How far back it looks when it is opened: `6h`, `7d`. */
  readonly since: string;
}

/** Columns of a dashboard. */
const columns = 24;

/**
 * The dashboard as Grafana loads it (its classic JSON model, from Grafana 10). Panels fill rows from left to right; ids
 * count through the dashboard, so that a link to a panel holds while nothing is put before it.
 */
export function dashboardJson({ name, title, description, variables, rows, since }: Dashboard): object {
  const panels: object[] = [];
  let y = 0;
  const nextId = () => panels.length + 1;
  for (const row of rows) {
    panels.push({
      type: 'row',
      id: nextId(),
      title: row.title,
      collapsed: false,
      gridPos: { x: 0, y, w: columns, h: 1 },
      panels: [],
    });
    y += 1;
    let x = 0;
    let height = 0;
    for (const panel of row.panels) {
      if (x + panel.width > columns) {
        x = 0;
        y += height;
        height = 0;
      }
      panels.push(panelJson(panel, nextId(), { x, y, w: panel.width, h: panel.height }));
      x += panel.width;
      height = Math.max(height, panel.height);
    }
    y += height;
  }
  return {
    uid: `longhaul-${name}`,
    title,
    description,
    tags: ['longhaul'],
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    timezone: 'utc',
    time: { from: `now-${since}`, to: 'now' },
    refresh: '30s',
    links: [
      {
        type: 'dashboards',
        title: 'longhaul',
        icon: 'dashboard',
        tooltip: '',
        url: '',
        tags: ['longhaul'],
        asDropdown: false,
        includeVars: true,
        keepTime: true,
        targetBlank: false,
      },
    ],
    annotations: { list: [firingAlerts] },
    templating: { list: variables.map(variableJson) },
    panels,
  };
}

const metricsSource = { type: 'prometheus', uid: `$\{${prometheus.name}}` };
const tracesSource = { type: 'tempo', uid: `$\{${tempo.name}}` };

/** Alerts that call somebody, as marks on every graph. */
const firingAlerts = {
  name: 'Alerts',
  datasource: metricsSource,
  enable: true,
  iconColor: 'red',
  target: {
    refId: 'Anno',
    expr: 'max by (alertname, severity) (ALERTS{alertname=~"Longhaul.*",alertstate="firing",severity!="info"})',
    interval: '60s',
  },
  titleFormat: '{{alertname}}',
  tagKeys: 'severity',
};

interface Place {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

function panelJson(panel: Panel, id: number, gridPos: Place): object {
  const { kind, title, asks, targets } = panel;
  const common = { type: kind, id, title, description: asks, gridPos };
  if (kind === 'text') return { ...common, options: { mode: 'markdown', content: panel.markdown } };
  const ofTraces = targets.some((target) => 'traceql' in target);
  return {
    ...common,
    datasource: ofTraces ? tracesSource : metricsSource,
    targets: targets.map((target, i) => targetJson(target, String.fromCharCode(65 + i), kind)),
    fieldConfig: { defaults: defaults(panel), overrides: [] },
    options: options[kind],
    ...(kind === 'table' && !ofTraces && { transformations: [labelsToColumns] }),
  };
}

function targetJson(target: Target, refId: string, kind: Panel['kind']): object {
  if ('traceql' in target) {
    const { traceql, shows } = target;
    return { refId, datasource: tracesSource, queryType: 'traceql', query: traceql, tableType: shows, limit: 200 };
  }
  const { promql, legend, instant = false } = target;
  return {
    refId,
    datasource: metricsSource,
    expr: promql,
    legendFormat: legend,
    instant,
    range: !instant,
    ...(kind === 'table' && { format: 'table' }),
  };
}

function defaults({ kind, unit, stacked, thresholds }: Panel): object {
  const steps =
    thresholds === null
      ? [{ color: 'blue', value: null }]
      : [
          { color: 'green', value: null },
          { color: 'orange', value: thresholds[0] },
          { color: 'red', value: thresholds[1] },
        ];
  const drawing = {
    drawStyle: 'line',
    lineWidth: 1,
    fillOpacity: stacked ? 40 : 10,
    showPoints: 'never',
    // A gap is a gap: a line over it would say that something was known.
    spanNulls: false,
    stacking: { mode: stacked ? 'normal' : 'none', group: 'A' },
    thresholdsStyle: { mode: thresholds === null ? 'off' : 'dashed' },
  };
  return {
    unit,
    min: 0,
    color: { mode: kind === 'stat' ? 'thresholds' : 'palette-classic' },
    thresholds: { mode: 'absolute', steps },
    ...(kind === 'timeseries' && { custom: drawing }),
  };
}

const options: Readonly<Record<'timeseries' | 'stat' | 'table', object>> = {
  timeseries: {
    legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
    tooltip: { mode: 'multi', sort: 'desc' },
  },
  stat: {
    colorMode: 'value',
    graphMode: 'none',
    justifyMode: 'auto',
    textMode: 'value',
    reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
  },
  table: { showHeader: true, cellHeight: 'sm' },
};

const labelsToColumns = { id: 'organize', options: { excludeByName: { Time: true, __name__: true, job: true } } };
