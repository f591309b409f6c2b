import path from 'node:path';
import { parseArgs } from 'node:util';
import { judged, render } from '../checks/report.ts';
import { checkCompose } from './check.ts';
import { described } from './rules.ts';

const usage = `usage: npm run check:compose -- [--json]

Checks infra/compose, each way to start it, without an engine: against the schema of the Compose specification, and by our own
rules (versions of images, least privilege, limits, networks, secrets, health, mounts, known settings).

  --json   one JSON object: {"results": [{"check", "outcome", "note", "faults"}]}
  --help

Example:
  npm run check:compose
`;

const root = path.resolve(import.meta.dirname, '..', '..');

async function main(json: boolean): Promise<number> {
  const results = (await checkCompose(root)).map(({ variant, services, findings }) =>
    judged(variant, `${services.length} services`, findings.map(described)),
  );
  process.stdout.write(json ? `${JSON.stringify({ results })}\n` : render(results));
  return results.some(({ outcome }) => outcome === 'failed') ? 1 : 0;
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
