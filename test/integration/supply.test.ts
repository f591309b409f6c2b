import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { Result } from '../../scripts/checks/report.ts';
import { repositoryRoot } from '../support/text-documents.ts';

const execute = promisify(execFile);

interface Bill {
  readonly components: readonly { readonly purl: string; readonly hashes?: readonly object[] }[];
}

test('npm run check:supply finds nothing wrong; npm knows of no package that its bill does not have', async (context) => {
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-supply-'));
  try {
    const file = join(dir, 'sbom.json');
    const args = [join(repositoryRoot, 'scripts/supply/main.ts'), '--offline', '--json', '--bill', file];
    const { stdout } = await execute(process.execPath, args).catch((error) => error);
    const { results } = JSON.parse(stdout) as { results: Result[] };
    assert.deepEqual(
      results.filter(({ outcome }) => outcome === 'failed'),
      [],
    );
    assert.equal(results.length, 5);
    const ours = JSON.parse(await readFile(file, 'utf8')) as Bill;
    const hashes = new Map(ours.components.map(({ purl, hashes }) => [purl, hashes]));
    const npm = ['sbom', '--omit=dev', '--sbom-format=cyclonedx', '--package-lock-only'];
    const answer = await execute('npm', npm, { cwd: repositoryRoot, maxBuffer: 2 ** 25 }).catch(() => null);
    if (answer === null) return context.diagnostic('npm writes no bill here: nothing to compare with');
    const theirs = (JSON.parse(answer.stdout) as Bill).components.filter(({ purl }) => !purl.includes('%40longhaul'));
    assert.ok(theirs.length > 200, `${theirs.length} packages`);
    for (const one of theirs) assert.deepEqual(hashes.get(one.purl), one.hashes, one.purl);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
