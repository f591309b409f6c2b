import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { checkExpressions } from '../../infra/telemetry/check/prometheus.ts';
import type { Result } from '../../scripts/checks/report.ts';
import { promtool, withoutPrometheus } from '../support/prometheus.ts';
import { repositoryRoot } from '../support/text-documents.ts';

test('npm run check:telemetry finds nothing wrong, and says what it could not check', async (context) => {
  const script = join(repositoryRoot, 'infra/telemetry/check/main.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [script, '--json']).catch((error) => error);
  const { results } = JSON.parse(stdout) as { results: Result[] };
  assert.deepEqual(
    results.filter(({ outcome }) => outcome === 'failed'),
    [],
  );
  const skipped = results.filter(({ outcome }) => outcome === 'skipped');
  assert.equal(results.length, 12);
  assert.equal(skipped.length, withoutPrometheus === false ? 0 : 4);
  for (const { check, note } of skipped) context.diagnostic(`${check}: ${note}`);
});

test('an expression that Prometheus refuses is named with its place', { skip: withoutPrometheus }, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-expressions-'));
  try {
    const { outcome, faults } = await checkExpressions(promtool(), dir, [
      { where: 'fleet / Good', promql: 'sum by (job) (up)' },
      { where: 'fleet / Bad', promql: 'sum by (job) (up' },
      { where: 'fleet / Range', promql: 'rate(up)' },
    ]);
    assert.equal(outcome, 'failed');
    assert.deepEqual(
      faults.map((fault) => fault.split(':')[0]),
      ['fleet / Bad', 'fleet / Range'],
    );
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
