/** A panel of a dashboard before it has a place: what it asks, of whom, and how the answer is drawn. */
export interface Panel {
  readonly kind: 'timeseries' | 'stat' | 'table' | 'text';
  readonly title: string;
  /** The question that the panel answers, in one sentence: Grafana shows it at the title, docs/dashboards.md in its list. */
  readonly asks: string;
  /** Columns of 24. */
  readonly width: number;
  /** Units of about 30 pixels. */
  readonly height: number;
  readonly targets: readonly Target[];
  /** Grafana's name of the unit: `s`, `percentunit`, `short`, `currencyUSD` … */
  readonly unit: string;
  readonly stacked: boolean;
  /** Where a value turns from green to orange, and to red; null for values that are neither good nor bad. */
  readonly thresholds: readonly [number, number] | null;
  /** Of a text panel. */
  readonly markdown: string;
}

/** PromQL, drawn under a legend of the series' labels; or TraceQL, whose answer is a table of traces or of spans. */
export type Target =
  | { readonly promql: string; readonly legend: string; readonly instant?: boolean }
  | { readonly traceql: string; readonly shows: 'traces' | 'spans' };

type Options = Partial<Pick<Panel, 'width' | 'height' | 'unit' | 'stacked' | 'thresholds'>>;

const plain = {
  width: 6,
  height: 8,
  targets: [],
  unit: 'short',
  stacked: false,
  thresholds: null,
  markdown: '',
} as const;

/** Lines over time; `targets` by their legend. */
export function lines(
  title: string,
  asks: string,
  targets: Readonly<Record<string, string>>,
  options: Options = {},
): Panel {
  return { ...plain, kind: 'timeseries', title, asks, ...options, targets: byLegend(targets) };
}

/** Areas over time, one on top of the other: parts of a whole. */
export function areas(
  title: string,
  asks: string,
  targets: Readonly<Record<string, string>>,
  options: Options = {},
): Panel {
  return lines(title, asks, targets, { ...options, stacked: true });
}

/** One number: the last one of the time shown. */
export function number(title: string, asks: string, promql: string, options: Options = {}): Panel {
  const targets = [{ promql, legend: '', instant: true }];
  return { ...plain, kind: 'stat', width: 4, height: 4, title, asks, ...options, targets };
}

/** The series of the moment, a row each. */
export function table(title: string, asks: string, promql: string, options: Options = {}): Panel {
  const targets = [{ promql, legend: '', instant: true }];
  return { ...plain, kind: 'table', title, asks, ...options, targets };
}

/** What the store of traces finds, a row each. */
export function traces(
  title: string,
  asks: string,
  traceql: string,
  shows: 'traces' | 'spans',
  options: Options = {},
): Panel {
  return { ...plain, kind: 'table', title, asks, ...options, targets: [{ traceql, shows }] };
}

export function text(title: string, asks: string, markdown: string, options: Options = {}): Panel {
  return { ...plain, kind: 'text', title, asks, markdown, ...options };
}

function byLegend(targets: Readonly<Record<string, string>>): Target[] {
  return Object.entries(targets).map(([legend, promql]) => ({ legend, promql }));
}

/** The quantile of a histogram over the scrape-proof interval, for each of the labels `by`. */
export function quantile(q: number, histogram: string, selector: string, by: readonly string[] = []): string {
  const labels = [...by, 'le'].join(', ');
  return `histogram_quantile(${q}, sum by (${labels}) (rate(${histogram}_bucket${selector}[$__rate_interval])))`;
}

/** The increase over the interval, summed by labels. */
export function increase(counter: string, selector: string, by: readonly string[] = []): string {
  const grouped = by.length === 0 ? 'sum' : `sum by (${by.join(', ')}) `;
  return `${grouped}(increase(${counter}${selector}[$__rate_interval]))`;
}

/** A second, summed by labels. */
export function perSecond(counter: string, selector: string, by: readonly string[] = []): string {
  const grouped = by.length === 0 ? 'sum' : `sum by (${by.join(', ')}) `;
  return `${grouped}(rate(${counter}${selector}[$__rate_interval]))`;
}
