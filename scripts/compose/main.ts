import path from 'node:path';
import { parseArgs } from 'node:util';
import { checkCompose } from './check.ts';
import { described } from './rules.ts';

const usage = `usage: npm run check:compose -- [--json]

Checks infra/compose, each way to start it, without an engine: against the schema of the Compose specification, and by our own
rules (versions of images, least privilege, limits, networks, secrets, health, mounts, known settings).

  --json   one JSON object in place of text
  --help

Example:
  npm run check:compose
`;

const root = path.resolve(import.meta.dirname, '..', '..');

async function main(json: boolean): Promise<number> {
  const checked = await checkCompose(root);
  const wrong = checked.some(({ findings }) => findings.length > 0);
  if (json) process.stdout.write(`${JSON.stringify({ checked })}\n`);
  else {
    for (const { variant, services, findings } of checked) {
      for (const finding of findings) process.stdout.write(`${variant}: ${described(finding)}\n`);
      process.stdout.write(`${variant}: ${services.length} services, ${findings.length} findings\n`);
    }
  }
  return wrong ? 1 : 0;
}

try {
  const options = {
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  } as const;
  const { values } = parseArgs({ options });
  if (values.help) process.stdout.write(usage);
  else process.exitCode = await main(values.json);
} catch (error) {
  process.stderr.write(`check:compose: ${(error as Error).message}\n`);
  process.exitCode = 2;
}
