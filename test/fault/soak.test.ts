import assert from 'node:assert/strict';
import { test } from 'node:test';
import { markdown } from '../soak/report.ts';
import { conclude, soak } from '../soak/soak.ts';

/** Another world for each run where one is wanted: `LONGHAUL_TEST_SOAK_SEED=random`. */
const asked = process.env['LONGHAUL_TEST_SOAK_SEED'] ?? '20261';
const seed = asked === 'random' ? Date.now() % 2 ** 31 : Number(asked);

test('a short soak: some hundred faults of every kind, no duplicate, no loss, no zombie commit', async (t) => {
  t.diagnostic(`seed ${seed}`);
  const outcome = await soak({
    seed,
    faults: 300,
    minutes: 1,
    workers: 3,
    store: 's3',
    corpus: 'small',
    say: () => {},
    signal: t.signal,
  });
  await conclude(outcome);
  const { report } = outcome;
  t.diagnostic(markdown(report));
  const where = `seed ${seed}; logs and report: ${outcome.evidence}`;
  assert.deepEqual(report.violations, [], where);
  assert.deepEqual(report.quarantined, [], where);
  assert.deepEqual(report.crashes, [], where);
  assert.deepEqual(report.unfinished, [], where);
  assert.ok(report.jobs.done > 0, where);
  assert.ok(report.total >= 30, `only ${report.total} faults met anything`);
});
