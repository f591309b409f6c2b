import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { judged, type Result, render, skipped } from '../checks/report.ts';
import { checkAudit } from './audit.ts';
import { billOfMaterials } from './bill.ts';
import { checkLicences } from './licences.ts';
import { checkLock, checkScripts, foreignPackages, Lock, neededBy } from './lock.ts';
import { parts } from './parts.ts';

const usage = `usage: npm run check:supply -- [--offline] [--bill FILE] [--json]

Checks where the code of others comes from: each package of the lock file has its digest and is of the npm registry, each
version is one version, none needs an install script, and everything that runs in production is under a licence that is
allowed. Asks the registry for known holes, and says so where it does not answer. Writes the bill of materials (CycloneDX 1.5)
of what runs in production. Exit code 1 where anything is wrong.

  --bill FILE   where the bill goes; build/sbom.json by default
  --offline     does not ask the registry
  --json        one JSON object: {"results": [{"check", "outcome", "note", "faults"}]}

example: npm run check:supply -- --json
`;

const root = path.join(import.meta.dirname, '..', '..');
const { values } = parseArgs({
  options: {
    offline: { type: 'boolean', default: false },
    bill: { type: 'string', default: path.join(root, 'build', 'sbom.json') },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

async function main(): Promise<Result[]> {
  const lock = Lock.parse(JSON.parse(await readFile(path.join(root, 'package-lock.json'), 'utf8')));
  const needed = neededBy(lock, Object.values(parts).flat());
  const production = foreignPackages(lock).filter((one) => needed.has(one.path));
  await mkdir(path.dirname(values.bill), { recursive: true });
  await writeFile(values.bill, `${JSON.stringify(billOfMaterials(lock), null, 2)}\n`);
  return [
    checkLock(lock),
    checkScripts(lock),
    checkLicences(production),
    judged('bill of materials', `${production.length} packages in ${path.relative(process.cwd(), values.bill)}`, []),
    values.offline
      ? skipped('known holes', 'not asked for, by --offline')
      : await checkAudit(new Set(production.map((one) => one.path))),
  ];
}

if (values.help) process.stdout.write(usage);
else {
  const results = await main();
  process.stdout.write(values.json ? `${JSON.stringify({ results })}\n` : render(results));
  if (results.some(({ outcome }) => outcome === 'failed')) process.exitCode = 1;
}
