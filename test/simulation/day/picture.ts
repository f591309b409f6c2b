import type { Arrival } from './arrival.ts';
import type { Day } from './measure.ts';
import { workByHour } from './strategies/always-on.ts';
import { daySeconds } from './world.ts';

const size = { width: 1000, left: 46, right: 14, top: 50, panel: 62, gap: 42 };
const colours = {
  demand: '#7a828e',
  spot: '#2b7a9b',
  onDemand: '#d98324',
  text: '#24292f',
  faint: '#57606a',
  grid: '#d8dee4',
};

export interface NamedDay extends Day {
  readonly name: string;
}

/** The day as an SVG: what was handed in, and below it the paid workers of each strategy by market, on one scale. */
export function dayPicture(days: readonly NamedDay[], arrivals: readonly Arrival[]): string {
  const [a] = days.map(({ world }) => world.a);
  if (a === undefined) throw new Error('no strategy to draw');
  const hours = workByHour(arrivals, a);
  const most = Math.ceil(
    Math.max(...hours, ...days.flatMap(({ samples }) => samples.map((one) => one.spot + one.onDemand))),
  );
  const height = size.top + (days.length + 1) * (size.panel + size.gap) + 14;
  const panels = [
    panel(0, most, 'handed in: workers that the work of each hour keeps busy', bars(hours, most, yOf(0, most))),
    ...days.map(({ name, samples, measures }, i) => {
      const y = yOf(i + 1, most);
      const facts = [
        `${name}: $${measures.cost.toFixed(2)}`,
        `${Math.round(measures.idleShare * 100)} % idle`,
        `half of the jobs begin within ${Math.round(measures.waitP50)} s`,
        `${measures.missedDeadlines} late`,
        ...(measures.unended === 0 ? [] : [`${measures.unended} never ended`]),
      ].join(', ');
      const total = steps(
        samples.map((one) => [one.at, one.spot + one.onDemand]),
        y,
      );
      const spot = steps(
        samples.map((one) => [one.at, one.spot]),
        y,
      );
      // The on-demand workers stand on top of those on spot: their area is drawn first, and the spot's over it.
      return panel(i + 1, most, facts, `${area(total, colours.onDemand)}${area(spot, colours.spot)}`);
    }),
  ];
  const legend = [
    ['on spot', colours.spot],
    ['on demand', colours.onDemand],
  ]
    .map(([text, colour], i) => {
      const x = size.width - size.right - 190 + i * 90;
      return `<rect x="${x}" y="16" width="10" height="10" fill="${colour}"/>${label(x + 15, 25, text!)}`;
    })
    .join('');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${height}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="Paid workers through a simulated day, by strategy">
<rect width="100%" height="100%" fill="#ffffff"/>
${label(size.left, 25, 'Paid workers through a simulated day', { weight: 600, size: 15 })}${legend}
${panels.join('\n')}
</svg>
`;
}

const panelTop = (i: number) => size.top + i * (size.panel + size.gap) + 20;
const yOf = (i: number, most: number) => (value: number) => round(panelTop(i) + size.panel * (1 - value / most));
const xOf = (at: number) =>
  round(size.left + ((size.width - size.left - size.right) * Math.min(at, daySeconds)) / daySeconds);
const round = (value: number) => Math.round(value * 10) / 10;

function panel(i: number, most: number, title: string, content: string): string {
  const y = yOf(i, most);
  const [x0, x1] = [xOf(0), xOf(daySeconds)];
  const lines = [0, most / 2, most].map(
    (value) =>
      `<path d="M${x0} ${y(value)}H${x1}" stroke="${colours.grid}"/>${label(x0 - 6, y(value) + 4, String(round(value)), { anchor: 'end', faint: true, size: 10 })}`,
  );
  const ticks = Array.from({ length: 9 }, (_, k) => k * 3).map((hour) =>
    label(xOf(hour * 3600), y(0) + 13, `${hour}:00`, { anchor: hour === 24 ? 'end' : 'middle', faint: true, size: 10 }),
  );
  return `<g>${lines.join('')}${content}${ticks.join('')}${label(x0, panelTop(i) - 6, title)}</g>`;
}

function bars(hours: readonly number[], most: number, y: (value: number) => number): string {
  const width = round(xOf(3600) - xOf(0) - 2);
  return hours
    .map((value, hour) => ({ value: Math.min(value, most), x: xOf(hour * 3600) + 1 }))
    .map(
      ({ value, x }) =>
        `<rect x="${x}" y="${y(value)}" width="${width}" height="${round(y(0) - y(value))}" fill="${colours.demand}"/>`,
    )
    .join('');
}

/** A stair over the day, closed along its floor; only where it changes. */
function steps(points: readonly (readonly [number, number])[], y: (value: number) => number): string {
  let path = `M${xOf(0)} ${y(0)}`;
  let last = 0;
  for (const [at, value] of points) {
    if (at > daySeconds) break;
    if (value !== last) path += `H${xOf(at)}V${y(value)}`;
    last = value;
  }
  return `${path}H${xOf(daySeconds)}V${y(0)}Z`;
}

const area = (path: string, colour: string) => `<path d="${path}" fill="${colour}"/>`;

interface LabelStyle {
  readonly anchor?: 'middle' | 'end';
  readonly weight?: number;
  readonly size?: number;
  readonly faint?: boolean;
}

function label(x: number, y: number, text: string, { anchor, weight, size: px, faint }: LabelStyle = {}): string {
  const more = [
    anchor === undefined ? '' : ` text-anchor="${anchor}"`,
    weight === undefined ? '' : ` font-weight="${weight}"`,
    px === undefined ? '' : ` font-size="${px}"`,
  ].join('');
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return `<text x="${x}" y="${y}" fill="${faint === true ? colours.faint : colours.text}"${more}>${escaped}</text>`;
}
