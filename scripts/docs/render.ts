import type { Process, Setting } from './settings.ts';

const begin = '<!-- settings: written by `npm run docs` from the schemas; edit the doc comments there -->';
const end = '<!-- settings end -->';

/** Tables of the settings as Markdown, a process a table. */
export function settingsMarkdown(processes: readonly Process[]): string {
  return processes.map(({ title, settings }) => `### ${title}\n\n${table(settings)}`).join('\n');
}

function table(settings: readonly Setting[]): string {
  const rows = settings.map((setting) => {
    const { name, allowed, description } = setting;
    const cells = [`\`${name}\``, defaultOf(setting), allowed, description];
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`;
  });
  return `| setting | default | allowed | what it does |\n|---|---|---|---|\n${rows.join('')}`;
}

function defaultOf({ default: value, required }: Setting): string {
  if (required) return 'required';
  return value === null ? '' : `\`${value}\``;
}

/** @throws Error where the page has no place for it */
export function placed(page: string, markdown: string): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`the page has no line ${JSON.stringify(begin)} followed by ${end}`);
  return `${page.slice(0, from)}${begin}\n\n${markdown}\n${page.slice(to)}`;
}
