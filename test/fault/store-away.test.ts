import assert from 'node:assert/strict';
import { test } from 'node:test';
import { models } from '../support/cluster.ts';
import { letters } from './committed-work.ts';
import { onS3 } from './on-s3.ts';
import { assertSame, generateTask, scoreTask, truth } from './shared.ts';

/** Longer than one call to the store tries for. */
const awayMs = 22_000;

test('the store away for 22 s before a job is taken, while it is read and at its end: all wait, nothing is lost', async (t) => {
  const { s3, cluster } = await onS3(t, models.induction, {
    LONGHAUL_COMMIT_SECONDS: '0.2',
    LONGHAUL_COMMIT_TOKENS: '32768',
    LONGHAUL_SLOTS: '4',
    LONGHAUL_LOCK_MS: '10000',
  });
  const text = letters(700_000);
  const short = text.subarray(0, 5000);
  const task = { ...generateTask(30, 0) };
  const lose = (keyIncludes: string, method?: string) =>
    s3.faults.add({ match: { keyIncludes, ...(method === undefined ? {} : { method }) }, action: 'reset' });

  await cluster.submitText('away-before-taken', short, task);
  await cluster.submitText('away-at-the-end', short, task);
  const before = lose('jobs/away-before-taken/');
  const end = lose('jobs/away-at-the-end/result.json', 'PUT');
  await cluster.submitText('away-while-read', text, scoreTask);
  const worker = await cluster.startWorker('patient');
  await cluster.head('away-while-read', (head) => head.seq >= 1);
  const middle = lose('jobs/away-while-read/');
  await Promise.all([before.hit, middle.hit, end.hit]);
  const lost = () => [before, middle, end].map(({ hits }) => hits);
  const first = lost();
  await new Promise((resolve) => setTimeout(resolve, awayMs));
  for (const [i, hits] of lost().entries()) assert.ok(hits > first[i]!, `job ${i} did not ask again`);
  s3.faults.clear();

  for (const [jobId, bytes, wanted] of [
    ['away-before-taken', short, task],
    ['away-at-the-end', short, task],
    ['away-while-read', text, scoreTask],
  ] as const) {
    const result = await cluster.result(jobId, 120_000);
    await assertSame(cluster, jobId, result, await truth(cluster, models.induction, bytes, wanted));
  }
  assert.ok(worker.alive);
});
