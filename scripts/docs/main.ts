import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { placed, settingsMarkdown } from './render.ts';
import { readSettings } from './settings.ts';

const usage = `usage: npm run docs -- [--check] [--json]

Writes the tables of settings in docs/operations.md from the schemas of the processes and their doc comments.

  --check   writes nothing; exit code 1 where the page is not what would be written
  --json    prints the settings as JSON and writes nothing

Example:
  npm run docs -- --check
`;

const page = path.resolve(import.meta.dirname, '../../docs/operations.md');
const { values } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

if (values.help) process.stdout.write(usage);
else if (values.json) process.stdout.write(`${JSON.stringify(await readSettings())}\n`);
else {
  const found = await readFile(page, 'utf8');
  const wanted = placed(found, settingsMarkdown(await readSettings()));
  if (wanted === found) process.stdout.write('docs/operations.md: up to date\n');
  else if (values.check) {
    process.stderr.write('docs/operations.md: not what the schemas say. Type:\n  npm run docs\n');
    process.exitCode = 1;
  } else {
    await writeFile(page, wanted);
    process.stdout.write('docs/operations.md: settings written\n');
  }
}
