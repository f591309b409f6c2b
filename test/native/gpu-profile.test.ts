// The tables of `npm run gpu` on narrow layers, with the kernels read as C++: that every kernel is in the profile, that it adds up,
// and that the speeds come to their end.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { nativeTarget } from '../support/native-target.ts';

const run = promisify(execFile);
const kernelFolder = path.join(import.meta.dirname, '..', '..', 'native', 'backend', 'cuda', 'kernels');

interface Table {
  columns: string[];
  rows: (string | number)[][];
}

/** The names that kernels are launched under. */
async function kernelNames(): Promise<string[]> {
  const names: string[] = [];
  for (const file of await readdir(kernelFolder))
    for (const [, name] of (await readFile(path.join(kernelFolder, file), 'utf8')).matchAll(/kName = "(\w+)"/g))
      names.push(name as string);
  return names;
}

test('the profile has every kernel, each row of a table once, and shares that make up the whole', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'longhaul-profile-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = path.join(folder, 'profile.json');
  const { stdout } = await run(await nativeTarget('gpu_check_emulated'), ['--profile', '--json', file]);
  assert.match(stdout, /^\| ceiling \| \|$/m);

  const report = JSON.parse(await readFile(file, 'utf8')) as { device: string; date: string; tables: Table[] };
  assert.equal(report.device, 'emulated');
  assert.match(report.date, /^\d{4}-\d\d-\d\dT/);
  const profiles = report.tables.filter(({ columns }) => columns[1] === 'kernel');
  assert.deepEqual(
    profiles.map(({ columns }) => columns[0]),
    [
      ...['bf16', 'int8', 'nf4', 'fp8'].map((format) => `reading, ${format}, 40 rows`),
      ...['bf16', 'int8', 'nf4', 'fp8'].flatMap((format) => [1, 2, 3].map((n) => `decode, ${format}, ${n} together`)),
      'beside, each once',
    ],
  );
  const found = new Set(profiles.flatMap(({ rows }) => rows.flatMap((row) => String(row[1]).split(', '))));
  for (const name of await kernelNames()) assert.ok(found.has(name), `${name} is in no row of the profile`);

  for (const { columns, rows } of profiles) {
    const names = rows.map((row) => row[0]);
    assert.equal(new Set(names).size, names.length, `${columns[0]} has a row twice`);
    for (const row of rows.filter((row) => !String(row[0]).startsWith('sum of')))
      assert.ok(Number(row[2]) > 0 && Number(row[3]) >= 0, `${columns[0]}: ${row.join(' | ')}`);
    if (columns[0]?.startsWith('beside')) continue;
    const shares = rows.slice(0, -1).map((row) => Number(row[8]));
    const sum = shares.reduce((all, share) => all + share, 0);
    assert.ok(Math.abs(sum - 100) < 0.05 * shares.length, `${columns[0]}: shares are ${sum} % of the sum`);
  }

  const speeds = report.tables.find(({ columns }) => columns[0] === 'FalconMamba-7B shape, random weights');
  const rows = speeds?.rows.map((row) => String(row[0])) ?? [];
  for (const format of ['bf16', 'int8', 'nf4', 'fp8']) {
    assert.ok(rows.includes(`decode, ${format}, 1 together, layers alone`), `no decode of ${format}`);
    assert.ok(rows.includes(`prefill, ${format}, 8 documents together`), `no prefill of ${format}`);
  }
  assert.deepEqual(speeds?.rows.find((row) => String(row[0]).startsWith('allocations since'))?.slice(1), [0, '', 0]);
  assert.ok(report.tables.some(({ columns }) => columns[0] === 'target missed'));
  assert.doesNotMatch(stdout, /not measured/);
});
