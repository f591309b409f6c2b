import type { Dashboard, Panel } from '../grafana/source/index.ts';

/** Characters of a column: 24 of them make a line that fits the page. */
const columnChars = 4;
const columns = 24;

/** The page with what stands between its marks made anew: for each dashboard its drawing and what its panels answer. */
export function describedDashboards(page: string, dashboards: readonly Dashboard[]): string {
  return dashboards.reduce((text, dashboard) => {
    const begin = `<!-- panels of ${dashboard.name}: made by npm run check:telemetry -- --write -->`;
    const end = `<!-- end of ${dashboard.name} -->`;
    const from = text.indexOf(begin);
    const to = text.indexOf(end);
    if (from < 0 || to < from) throw new Error(`docs/dashboards.md is to have "${begin}" and "${end}"`);
    return `${text.slice(0, from)}${begin}\n\n${describe(dashboard)}\n${text.slice(to)}`;
  }, page);
}

function describe({ rows }: Dashboard): string {
  const drawing = rows.map(({ title, panels }) => [`▾ ${title}`, ...drawPanels(panels)].join('\n')).join('\n');
  const answers = rows
    .map(({ title, panels }) =>
      [`**${title}**\n`, ...panels.map((panel) => `* *${panel.title}*: ${panel.asks}`)].join('\n'),
    )
    .join('\n\n');
  return `\`\`\`text\n${drawing}\n\`\`\`\n\n${answers}\n`;
}

/** Panels side by side as far as they fit into a line, then the next line. */
function drawPanels(panels: readonly Panel[]): string[] {
  const lines: Panel[][] = [];
  let used = columns;
  for (const panel of panels) {
    if (used + panel.width > columns) {
      lines.push([]);
      used = 0;
    }
    lines.at(-1)!.push(panel);
    used += panel.width;
  }
  return lines.flatMap((line) => [
    line.map(({ width }) => `┌${'─'.repeat(inner(width))}┐`).join(''),
    line.map(({ title, width }) => `│${fit(` ${title}`, inner(width))}│`).join(''),
    line.map((panel) => `│${fit(` ${kindOf(panel)}`, inner(panel.width))}│`).join(''),
    line.map(({ width }) => `└${'─'.repeat(inner(width))}┘`).join(''),
  ]);
}

const inner = (width: number) => width * columnChars - 2;

const fit = (text: string, length: number) =>
  text.length > length ? `${text.slice(0, length - 1)}…` : text.padEnd(length);

function kindOf({ kind, stacked, targets, unit }: Panel): string {
  if (targets.some((target) => 'traceql' in target)) return 'table of the traces';
  if (kind === 'text') return 'text';
  if (kind === 'table') return 'table';
  const drawn = kind === 'stat' ? 'number' : stacked ? 'areas' : 'lines';
  const units: Readonly<Record<string, string>> = { s: ', seconds', percentunit: ', %', currencyUSD: ', $' };
  return `${drawn}${units[unit] ?? ''}`;
}
