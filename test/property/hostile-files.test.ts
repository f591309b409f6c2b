// Whatever a file holds, its parser ends in success or in the refusal that it documents: a bounded run of `npm run fuzz`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fuzz } from '../fuzz/loop.ts';
import { targets } from '../fuzz/targets.ts';

for (const target of targets)
  test(`hostile input: ${target.name}`, async () => {
    const corpus = fileURLToPath(new URL(`../fuzz/corpus/${target.name}`, import.meta.url));
    const outcome = await fuzz(target, { seed: 7, runs: 800, ms: 10_000, corpus: [corpus], grow: null });
    // The seed itself is good, and mutations do reach code that it does not.
    assert.ok(outcome.accepted > 0, JSON.stringify(outcome));
    assert.ok(outcome.features > 20, JSON.stringify(outcome));
  });
