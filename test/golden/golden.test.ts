import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadModel } from '@longhaul/native';
import { checkModel } from '../../scripts/golden/check.ts';
import { findGoldenFolders, readGoldenFolder } from '../../scripts/golden/folder.ts';
import { formatReport } from '../../scripts/golden/report.ts';

const folders = await findGoldenFolders(new URL('../fixtures/golden', import.meta.url).pathname);

test('all golden models are here', () => {
  assert.equal(folders.length, 7);
});

for (const dir of folders) {
  test(`the engine meets every golden of ${dir.split('/').at(-1)}`, async (t) => {
    const folder = await readGoldenFolder(dir);
    const model = await loadModel(dir, {
      device: 'cpu',
      weights: 'as-stored',
      activations: 'f32',
      threads: 2,
      slots: null,
    });
    try {
      const report = await checkModel(folder, model);
      assert.ok(report.ok, formatReport(report).join('\n'));
      const [nearest] = report.results
        .filter(({ tolerance }) => tolerance > 0)
        .sort((a, b) => b.error / b.tolerance - a.error / a.tolerance);
      t.diagnostic(`nearest to its tolerance: ${nearest?.kind}, ${nearest?.error} of ${nearest?.tolerance}`);
      // A manifest that loses its cases must not pass as one that meets them.
      assert.ok(report.results.length >= 20, `only ${report.results.length} kinds were compared`);
    } finally {
      model.close();
    }
  });
}

test('the command exits 0 when all is met, and 1 when nothing was checked', () => {
  const main = fileURLToPath(new URL('../../scripts/golden/main.ts', import.meta.url));
  const run = (...args: string[]) => spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
  const met = run('--json', folders.find((dir) => dir.endsWith('noconvbias-f16'))!);
  assert.equal(met.status, 0, met.stderr);
  assert.equal(JSON.parse(met.stdout)[0].ok, true);
  const nothing = run(fileURLToPath(new URL('../fixtures/tiny-english', import.meta.url)));
  assert.equal(nothing.status, 1);
  assert.match(nothing.stderr, /no golden model here/);
});
