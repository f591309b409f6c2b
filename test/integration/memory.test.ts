import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureMemory, toleranceMb } from '../bench/worker-memory.ts';

test('ten times the document takes a worker no more memory, and its log tells how its event loop fared', async (t) => {
  const small = await measureMemory('file', 200_000);
  const large = await measureMemory('file', 2_000_000);
  for (const { bytes, peakMb, loopDelayP99Ms, loopDelayMaxMs } of [small, large]) {
    t.diagnostic(
      `${bytes} bytes: peak ${peakMb.toFixed(0)} MB, loop delay p99 ${loopDelayP99Ms}, max ${loopDelayMaxMs} ms`,
    );
    // What it was depends on who else runs on the machine; the figure itself is held by `npm run bench:memory`.
    assert.ok(loopDelayMaxMs > 0 && loopDelayP99Ms <= loopDelayMaxMs);
  }
  const difference = large.peakMb - small.peakMb;
  assert.ok(Math.abs(difference) <= toleranceMb, `${difference.toFixed(0)} MB; ±${toleranceMb} MB are allowed`);
});
