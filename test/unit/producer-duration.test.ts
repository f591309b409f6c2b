import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDuration } from '../../producer/duration.ts';

test('a duration is a number with its unit, and anything else is refused by name', () => {
  const found = ['1s', '90m', '1.5h', '3d', '365d'].map((text) => parseDuration('--expires-in', text));
  assert.deepEqual(found, [1000, 5_400_000, 5_400_000, 259_200_000, 31_536_000_000]);
  for (const text of ['', '5', 's', '0.5s', '0d', '-1h', '366d', '1 h', '1w', '1e3s', 'Infinitys']) {
    assert.throws(() => parseDuration('--expires-in', text), {
      code: 'invalid_argument',
      message: `--expires-in takes a number with s, m, h or d (90m, 2h, 3d), from 1s to 365d; found ${JSON.stringify(text)}`,
    });
  }
});
