import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { version } from '@longhaul/core/contracts';

const root = path.resolve(import.meta.dirname, '../..');

test('the version is that of every package, and is written down once in the sources', async () => {
  const exclude = (name: string) => name === 'node_modules' || name.startsWith('build');
  const packages: [string, unknown][] = [];
  for await (const file of glob('{package.json,{core,native,producer,worker,infra/controller}/package.json}', {
    cwd: root,
  }))
    packages.push([file, JSON.parse(await readFile(path.join(root, file), 'utf8')).version]);
  assert.equal(packages.length, 6);
  assert.deepEqual(
    packages.filter(([, found]) => found !== version),
    [],
  );
  const sources: string[] = [];
  for await (const file of glob('{core,native,producer,worker,infra/controller}/**/*.ts', { cwd: root, exclude }))
    if ((await readFile(path.join(root, file), 'utf8')).includes(`'${version}'`)) sources.push(file);
  assert.deepEqual(sources, ['core/contracts/version.ts']);
});
