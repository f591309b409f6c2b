// The program of `npm run gpu`, with the kernels read as C++: a few of its op cases, and what it says without a GPU.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { nativeTarget } from '../support/native-target.ts';

const run = promisify(execFile);

test('ops of the CUDA backend are what they are in double precision', async () => {
  const { stdout } = await run(await nativeTarget('gpu_check_emulated'), ['--quick', '--checks'], {
    maxBuffer: 1 << 26,
  });
  assert.match(stdout, /^device: emulated/);
  assert.match(stdout, /^0 checks failed$/m);
  assert.match(stdout, /^ok memory of 7B in bf16 # weights \d+ MiB/m);
  assert.match(stdout, /^ok nothing is allocated after load # \d+ before, 0 after$/m);
  for (const rule of ['all codes, there and back', 'to nearest, halves to even', 'beyond 448 it is 448'])
    assert.match(stdout, new RegExp(`^ok e4m3: ${rule}`, 'm'));
  for (const model of ['bias-bf16', 'noconvbias-f16', 'odd-dims', 'stress', 'tied-minimal', 'tiny-bf16', 'tiny-f32'])
    for (const kind of ['logits', 'ssm state', 'greedy tokens', 'batch logits'])
      assert.match(stdout, new RegExp(`^ok golden ${model}, f32: ${kind} # `, 'm'));
  for (const op of ['linear', 'selective_scan']) assert.match(stdout, new RegExp(`^ok ${op} `, 'm'));
});

test('without a GPU the program says so and exits 2', async (t) => {
  const program = await nativeTarget('gpu_check');
  const outcome = await run(program, ['--checks', '--quick']).then(
    () => ({ code: 0, stderr: '' }),
    ({ code, stderr }: { code: number; stderr: string }) => ({ code, stderr }),
  );
  if (outcome.code === 0) return t.skip('there is a GPU here');
  assert.equal(outcome.code, 2);
  assert.match(outcome.stderr, /no GPU|no CUDA backend/);
});
