// A release compiles for GPUs that no machine of ours has: does the compiler here know them all?
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const script = fileURLToPath(new URL('../../scripts/build-native.mjs', import.meta.url));
const skip = spawnSync('nvcc', ['--version']).status === 0 ? false : 'nvcc is not here';

test('a kernel compiles for every architecture of a release', { skip, timeout: 300_000 }, async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [script, '--release', '--check']);
  assert.match(stdout, /compiles for 80;86;89;90a;100;120/);
});
