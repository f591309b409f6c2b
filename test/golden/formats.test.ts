import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mobyDick } from '../../scripts/demo/book.ts';
import { measureFormats } from '../bench/formats.ts';

test('no format costs the small English model much: bits per byte', async (t) => {
  const rows = await measureFormats((await mobyDick()).subarray(0, 16_384));
  // A few times what was measured (docs/benchmarks.md); a broken format costs whole bits.
  const most = {
    'bf16, as stored': 0.0005,
    'int8, at load': 0.002,
    'nf4, at load': 0.015,
    'fp8, at load': 0.001,
    'fp4, a bitsandbytes file': 0.03,
  };
  for (const { weights, activations, bitsPerByte, change } of rows) {
    t.diagnostic(`${weights}, ${activations}: ${bitsPerByte.toFixed(4)} (${change.toFixed(5)})`);
    assert.ok(bitsPerByte > 1 && bitsPerByte < 3, `${weights}, ${activations}: ${bitsPerByte}`);
    assert.ok(change <= most[weights as keyof typeof most], `${weights}, ${activations}: ${change}`);
  }
  assert.equal(rows.length, 10);
});
