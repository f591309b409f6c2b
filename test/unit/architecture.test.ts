import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';

const root = path.resolve(import.meta.dirname, '../..');

/** Which workspace may import which. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  core: [],
  native: [],
  producer: ['core'],
  worker: ['core', 'native'],
  'infra/controller': ['core'],
};
const workspaceOf = (file: string) => Object.keys(allowed).find((name) => file.startsWith(`${name}/`)) ?? null;

interface Source {
  readonly file: string;
  readonly workspace: string;
  readonly text: string;
  readonly imports: readonly string[];
}

async function sources(): Promise<Source[]> {
  const found: Source[] = [];
  const exclude = (name: string) => name === 'node_modules' || name === 'build';
  for await (const file of glob(`{${Object.keys(allowed).join(',')}}/**/*.ts`, { cwd: root, exclude })) {
    const text = await readFile(path.join(root, file), 'utf8');
    const imports = [...text.matchAll(/(?:\bfrom|\bimport\s*\(?)\s*'([^']+)'/g)].map((match) => match[1]!);
    found.push({ file, workspace: workspaceOf(file)!, text: withoutComments(text), imports });
  }
  assert.ok(found.length > 50, `only ${found.length} source files were found`);
  return found;
}

/** Comments may speak of what code may not use. */
function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '$1');
}

/** The workspace that an import leads to; null for packages and for the workspace itself. */
function target(file: string, workspace: string, specifier: string): string | null {
  const ours = /^@longhaul\/([^/]+)/.exec(specifier)?.[1];
  const name = ours === 'controller' ? 'infra/controller' : ours;
  const reached = specifier.startsWith('.') ? path.join(path.dirname(file), specifier) : name;
  if (reached === undefined) return null;
  const to = specifier.startsWith('.') ? (workspaceOf(reached) ?? reached) : reached;
  return to === workspace ? null : to;
}

test('imports between workspaces run one way', async () => {
  const broken = (await sources()).flatMap(({ file, workspace, imports }) =>
    imports
      .map((specifier) => ({ specifier, to: target(file, workspace, specifier) }))
      .filter(({ to }) => to !== null && !allowed[workspace]!.includes(to))
      .map(({ specifier }) => `${file} imports ${specifier}`),
  );
  assert.deepEqual(broken, []);
});

test('only core/queue names BullMQ', async () => {
  const naming = (await sources()).filter(({ imports }) => imports.includes('bullmq')).map(({ file }) => file);
  assert.ok(naming.length > 0);
  assert.deepEqual(
    naming.filter((file) => path.dirname(file) !== 'core/queue'),
    [],
  );
});

test('only main.ts files touch the process', async () => {
  const touching = (await sources())
    .filter(({ file }) => path.basename(file) !== 'main.ts')
    .filter(
      ({ text, imports }) =>
        imports.some((name) => name === 'process' || name === 'node:process') ||
        /(?<![./\w])process\s*\.\s*[a-z]/.test(text),
    )
    .map(({ file }) => file);
  assert.deepEqual(touching, []);
});
