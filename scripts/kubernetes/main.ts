import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { describeError } from '@longhaul/core/contracts';
import { alertRules } from './alert-rules.ts';
import type { Finding } from './finding.ts';
import { jobTemplateText, markets, templateFile, templateIn } from './job-template.ts';
import { kubectlKustomize, kubectlRender } from './kubectl.ts';
import { render } from './kustomize.ts';
import { applied, type Manifest, nameOf } from './manifest.ts';

const usage = `usage: npm run check:kubernetes -- [--write] [--filled-in] [--json] [DIR …]

Renders each overlay (all of infra/kubernetes/overlays where none is named) and checks every object of it without a cluster:
published schemas, fields that nobody knows, the restricted Pod Security Standard, probes, lifetimes, images, rights, network
policies, references, and the environment of each process by the process's own parser. Where kubectl is found, its kustomize must
render the same.

  --write      writes anew what follows from other files: each overlay's Job templates, and the alerts of components/monitoring
  --filled-in  placeholders (accounts, digests, names) are errors: for your own overlay, before it is applied
  --json       one JSON object

Exit status: 0 when nothing is wrong, 1 when something is, 2 on wrong usage.

Example:
  npm run check:kubernetes -- --filled-in ../deploy/longhaul-prod
`;

const root = path.resolve(import.meta.dirname, '../..');
const overlays = path.join(root, 'infra', 'kubernetes', 'overlays');

interface OverlayReport {
  readonly overlay: string;
  readonly objects: number;
  readonly findings: readonly Finding[];
  readonly placeholders: readonly string[];
}

async function named(dirs: readonly string[]): Promise<readonly string[]> {
  if (dirs.length > 0) return dirs.map((dir) => path.resolve(dir));
  const entries = await readdir(overlays, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map((entry) => path.join(overlays, entry.name));
}

/** What stands in the templates so far is of no account, but the files must be there. */
async function writeTemplates(dir: string): Promise<void> {
  const manifests = await render(dir);
  for (const market of markets) {
    const text = jobTemplateText(manifests, market);
    const asked = templateIn(manifests, market) !== null;
    if (text !== null && asked) await writeFile(path.join(dir, templateFile[market]), text);
  }
}

function differing(ours: readonly Manifest[], theirs: readonly Manifest[]): readonly Finding[] {
  const byName = (manifests: readonly Manifest[]) => new Map(manifests.map((one) => [nameOf(one), one]));
  const [a, b] = [byName(ours), byName(theirs)];
  return [...new Set([...a.keys(), ...b.keys()])]
    .filter((name) => !isDeepStrictEqual(a.get(name), b.get(name)))
    .map((object) => ({ rule: 'rendering', object, text: 'kubectl kustomize renders something else' }));
}

async function examine(dir: string, kubectl: boolean, filledIn: boolean): Promise<OverlayReport> {
  const overlay = path.relative(process.cwd(), dir);
  try {
    const manifests = await render(dir);
    // All schemas of Kubernetes are behind it, which no question of usage should wait for.
    const { check } = await import('./check.ts');
    const { objects, findings, placeholders } = await check(manifests);
    const unlike = kubectl ? differing(applied(manifests), await kubectlRender(dir)) : [];
    const left = filledIn
      ? placeholders.map((text) => ({ rule: 'placeholders', object: overlay, text: `${text} is to be filled in` }))
      : [];
    return { overlay, objects, findings: [...findings, ...unlike, ...left], placeholders };
  } catch (error) {
    const finding = { rule: 'rendering', object: overlay, text: describeError(error) };
    return { overlay, objects: 0, findings: [finding], placeholders: [] };
  }
}

function text(reports: readonly OverlayReport[], kubectl: string | null): string {
  const lines = reports.flatMap(({ overlay, objects, findings, placeholders }) => [
    `${overlay}: ${objects} objects, ${findings.length === 0 ? 'nothing wrong' : `${findings.length} wrong`}`,
    ...findings.map(({ rule, object, text }) => `  ${object} [${rule}] ${text}`),
    ...(placeholders.length === 0 ? [] : [`  to be filled in: ${placeholders.join(', ')}`]),
  ]);
  const compared =
    kubectl === null ? 'kubectl was not found: not compared with it' : `rendered by kustomize ${kubectl} alike`;
  return `${[...lines, compared].join('\n')}\n`;
}

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      json: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      'filled-in': { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const dirs = await named(positionals);
  if (values.write) {
    await writeFile(alertRules.file, await alertRules.text());
    for (const dir of dirs) await writeTemplates(dir);
  }
  const kubectl = await kubectlKustomize();
  const reports: OverlayReport[] = [];
  for (const dir of dirs) reports.push(await examine(dir, kubectl !== null, values['filled-in']));
  process.stdout.write(values.json ? `${JSON.stringify({ kubectl, overlays: reports })}\n` : text(reports, kubectl));
  return reports.every(({ findings }) => findings.length === 0) ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`check:kubernetes: ${describeError(error)}\n\n${usage}`);
  process.exitCode = 2;
}
