import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { checkAudit } from '../../scripts/supply/audit.ts';
import { billOfMaterials } from '../../scripts/supply/bill.ts';
import { allows, checkLicences } from '../../scripts/supply/licences.ts';
import { checkLock, checkScripts, foreignPackages, Lock, neededBy } from '../../scripts/supply/lock.ts';

const digest = `sha512-${Buffer.alloc(64, 1).toString('base64')}`;
const lockOf = (packages: Record<string, object>) => Lock.parse({ lockfileVersion: 3, packages });
const small = () =>
  lockOf({
    '': { version: '1.0.0', devDependencies: { tool: '1.0.0' } },
    app: {
      dependencies: { a: '1.0.0', '@x/shared': '2.0.0' },
      peerDependencies: { maybe: '*' },
      peerDependenciesMeta: { maybe: { optional: true } },
    },
    'node_modules/app': { resolved: 'app', link: true },
    'node_modules/a': { version: '1.0.0', integrity: digest, license: 'MIT', dependencies: { b: '^1' } },
    'node_modules/a/node_modules/b': { version: '1.5.0', integrity: digest, license: 'ISC' },
    'node_modules/b': { version: '3.0.0', integrity: digest, license: 'GPL-3.0-only' },
    'node_modules/@x/shared': { version: '2.0.0', integrity: digest, license: 'MIT' },
    'node_modules/maybe': { version: '1.0.0', integrity: digest },
    'node_modules/tool': { version: '1.0.0', integrity: digest, dependencies: { '@x/shared': '2.0.0', b: '3.0.0' } },
  });

test('what is needed is what Node would find, from the workspaces alone', () => {
  assert.deepEqual([...neededBy(small(), ['app']).keys()].sort(), [
    'app',
    'node_modules/@x/shared',
    'node_modules/a',
    'node_modules/a/node_modules/b',
  ]);
});

test('a package without a digest, of another place, or of no one version is found', () => {
  const faults = (path: string, entry: object) => {
    const lock = small();
    return checkLock(lockOf({ ...lock.packages, [path]: { ...lock.packages[path], ...entry } })).faults;
  };
  assert.deepEqual(faults('node_modules/a', {}), []);
  assert.deepEqual(faults('node_modules/a', { integrity: undefined }), ['node_modules/a@1.0.0 has no digest']);
  assert.match(faults('node_modules/a', { integrity: 'sha1-xx' })[0]!, /another kind: sha1-xx/);
  assert.match(faults('node_modules/a', { resolved: 'git+ssh://git@github.com/a/a.git#1' })[0]!, /comes from git\+ssh/);
  assert.deepEqual(faults('node_modules/a', { resolved: 'https://registry.npmjs.org/a/-/a-1.0.0.tgz' }), []);
  assert.deepEqual(faults('app', { dependencies: { a: '^1.0.0' } }), ['app asks for a ^1.0.0, not for one version']);
  assert.deepEqual(faults('', { devDependencies: { tool: 'latest' } }), [
    'package.json asks for tool latest, not for one version',
  ]);
});

test('an install script that nobody has looked at is found', () => {
  const lock = lockOf({ 'node_modules/new': { integrity: digest, hasInstallScript: true } });
  const { faults } = checkScripts(lock);
  assert.ok(faults.some((fault) => fault.startsWith('new has an install script')));
  assert.ok(faults.includes('msgpackr-extract has no install script any more'));
});

test('a licence is allowed where its expression leaves a way', () => {
  for (const good of ['MIT', '(MIT OR GPL-3.0-or-later)', 'MIT AND Zlib', 'GPL-3.0 OR (MIT AND ISC)', '(MIT)']) {
    assert.ok(allows(good), good);
  }
  for (const bad of [
    '',
    'GPL-3.0-only',
    'MIT AND GPL-3.0',
    'UNLICENSED',
    '(MIT',
    'MIT)',
    'MIT ISC',
    'SEE LICENSE IN x',
    'OR MIT',
  ]) {
    assert.ok(!allows(bad), bad);
  }
  const { faults } = checkLicences(foreignPackages(small()));
  assert.ok(faults.includes('b@3.0.0 is under GPL-3.0-only'));
  assert.ok(faults.includes('maybe@1.0.0 names no licence'));
});

test('the bill is the same each time, and has what a development tool needs as well', async () => {
  const file = path.join(import.meta.dirname, '../../package-lock.json');
  const lock = Lock.parse(JSON.parse(await readFile(file, 'utf8')));
  const bill = billOfMaterials(lock) as { components: { name: string; hashes: object[] }[]; dependencies: Needs[] };
  assert.deepEqual(billOfMaterials(lock), bill);
  const names = bill.components.map(({ name }) => name);
  for (const name of ['zod', 'ioredis', 'bullmq', 'yaml']) assert.ok(names.includes(name), name);
  for (const name of ['typescript', '@biomejs/biome', 'playwright-core']) assert.ok(!names.includes(name), name);
  for (const { name, hashes } of bill.components) assert.equal(hashes?.length, 1, name);
  const refs = new Set(['longhaul', ...bill.components.map((component) => (component as unknown as Ref)['bom-ref'])]);
  for (const { ref, dependsOn } of bill.dependencies)
    for (const one of [ref, ...dependsOn]) assert.ok(refs.has(one), one);
});

interface Needs {
  readonly ref: string;
  readonly dependsOn: readonly string[];
}
interface Ref {
  readonly 'bom-ref': string;
}

test('a registry that knows of no holes passes, one that tells of grave ones fails, one that is silent does neither', async () => {
  const saying = (answer: unknown) =>
    checkAudit(new Set(['node_modules/a']), [
      process.execPath,
      '-e',
      `console.log(${JSON.stringify(JSON.stringify(answer))})`,
      '--',
    ]);
  const hole = (severity: string, node: string) => ({
    vulnerabilities: { a: { severity, range: '<1.0.1', nodes: [node] } },
  });
  assert.equal((await saying({ vulnerabilities: {} })).outcome, 'passed');
  const grave = await saying(hole('critical', 'node_modules/a'));
  assert.deepEqual(grave.faults, ['a <1.0.1: critical; "npm audit" says more']);
  assert.equal((await saying(hole('moderate', 'node_modules/a'))).outcome, 'passed');
  assert.equal((await saying(hole('high', 'node_modules/tool'))).outcome, 'passed');
  const silent = await saying({ message: '405 Method Not Allowed' });
  assert.deepEqual([silent.outcome, silent.note], ['skipped', 'not available: 405 Method Not Allowed']);
  assert.equal((await checkAudit(new Set(), [process.execPath, '-e', '', '--'])).outcome, 'skipped');
  assert.equal((await checkAudit(new Set(), ['/no/such/npm'])).outcome, 'skipped');
});
