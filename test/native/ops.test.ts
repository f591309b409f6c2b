// Every op and every math function on every instruction set that this machine has.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const executable = fileURLToPath(new URL('../../native/build/ops_test', import.meta.url));

test('portable kernels agree with double arithmetic; avx2 and avx512 have the bits of portable', async (t) => {
  const { stdout, status, error } = spawnSync(executable, { encoding: 'utf8', maxBuffer: 1 << 24 });
  assert.equal(error, undefined, `${executable} does not start; run \`npm run build\``);
  const lines = stdout.trimEnd().split('\n');

  const groups = new Map<string, { passed: number; failed: string[] }>();
  for (const line of lines) {
    const [, result, name] = /^(ok|not ok|skip) (.*)$/.exec(line) ?? assert.fail(`unexpected line: ${line}`);
    if (result === 'skip') {
      const [isa, reason] = name!.split(': ');
      await t.test(isa!, { skip: reason! }, () => {});
      continue;
    }
    const group = name!.replace(/ # .*| \d.*$/g, '').replace(/: (\S+).*/, ': $1');
    const entry = groups.get(group) ?? { passed: 0, failed: [] };
    groups.set(group, entry);
    if (result === 'ok') entry.passed += 1;
    else entry.failed.push(line);
  }
  for (const [name, { passed, failed }] of groups)
    await t.test(`${name} (${passed + failed.length} cases)`, () => assert.deepEqual(failed, []));
  assert.ok(lines.length > 300, `only ${lines.length} cases ran`);
  assert.equal(status, 0);
});
