// Kernels that begin before the launch before them has ended, where the emulator must find that they break their promise.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { nativeTarget } from '../support/native-target.ts';

test('the emulator finds kernels that do before their wait what they may not', async () => {
  const { stdout } = await promisify(execFile)(await nativeTarget('launches_test'));
  assert.match(stdout, /^0 failed$/m);
  assert.equal(stdout.match(/^ok /gm)?.length, 10);
});
