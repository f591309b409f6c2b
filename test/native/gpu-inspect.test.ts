// The kernels under the inspector: what a device's sanitizers would say of a few op cases of each, and that they would say it.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { nativeTarget } from '../support/native-target.ts';

const run = promisify(execFile);
const inspect = async (...args: string[]) =>
  run(await nativeTarget('gpu_inspect'), args, { maxBuffer: 1 << 26 }).then(
    ({ stdout, stderr }) => ({ stdout, stderr, code: 0 }),
    (error: { stdout: string; stderr: string; code: number }) => error,
  );

test('every planted fault is found, where it is, and nothing is found where there is none', async () => {
  const { stdout, code } = await inspect('--faults');
  assert.equal(code, 0, stdout);
  for (const name of [
    'nothing',
    'integers added by every block',
    'a missing barrier',
    'a shuffle for a barrier',
    'one beyond an allocation',
    'one beyond shared memory',
    'a misaligned Quad',
    'an unwritten read of shared memory',
    "an unwritten read of the device's memory",
    'two blocks that write one cell',
    'a sum read while others add to it',
    'a copy read before it was waited for',
    'a wait for a barrier',
    'a write to what is read as constant',
    'a read ahead of the launch before',
    'a write ahead of the launch before',
    'two barriers for one',
    'one bank for all lanes',
    'a sector for each float',
  ])
    assert.match(stdout, new RegExp(`^ok ${name} # `, 'm'));
});

interface Row {
  readonly under: string;
  readonly kernel: string;
  readonly streamedBytes: number;
  readonly streamedSectors: number;
  readonly storeBytes: number;
  readonly storeSectors: number;
  readonly worst: number;
}

test('nothing is found in the kernels, and decoding reads weights and writes states in whole sectors', async () => {
  const { stdout, stderr, code } = await inspect('--quick', '--json');
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^0 findings$/m);
  const rows = JSON.parse(stdout) as Row[];
  const kernels = new Set(rows.map((row) => row.kernel));
  for (const name of [
    'causal_conv1d',
    'in_proj_conv',
    'linear_f32',
    'linear_mma',
    'linear_tiles',
    'log_probs',
    'mixer_norms',
    'rms_norm',
    'selective_scan',
    'selective_state_update',
  ])
    assert.ok(kernels.has(name), `${name} was not run`);
  const wide = rows.filter(({ under }) =>
    /^(in_proj_conv \d+x4096|linear \d+x8192|dt_proj_scan \d+x256x128) ?/.test(under),
  );
  const decode = wide.filter(({ streamedBytes }) => streamedBytes > 0);
  assert.ok(decode.length >= 24, `${decode.length} rows`);
  for (const row of decode) {
    assert.equal(row.streamedBytes, 32 * row.streamedSectors, `${row.under}, ${row.kernel}: weights`);
    // in_proj has half tiles at so few rows, whose eight bf16 are half a sector.
    if (row.kernel !== 'in_proj_conv')
      assert.equal(row.storeBytes, 32 * row.storeSectors, `${row.under}, ${row.kernel}: what it writes`);
    assert.ok(row.worst <= 2, `${row.under}, ${row.kernel}: ${row.worst} passes`);
  }
});
