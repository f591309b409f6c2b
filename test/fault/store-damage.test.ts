import assert from 'node:assert/strict';
import { test } from 'node:test';
import { models } from '../support/cluster.ts';
import { letters } from './committed-work.ts';
import { onS3 } from './on-s3.ts';
import { assertSame, generateTask, scoreTask, truth } from './shared.ts';

/** What a worker reads of a job that it goes on with. */
const kinds = ['spec.json', 'head.json', 'ckpt/', 'out/'] as const;
const damages = ['flip-bit', 'truncate-body'] as const;
const jobs = kinds.flatMap((kind) =>
  damages.map((damage) => ({ kind, damage, jobId: `${damage}-${kind.replace(/\W.*/, '')}` })),
);

test('a body damaged or cut off on its way, of a spec, head, checkpoint or segment, is read again: the same bytes', async (t) => {
  const { s3, cluster } = await onS3(t, models.induction, {
    LONGHAUL_COMMIT_SECONDS: '0.2',
    LONGHAUL_SLOTS: '8',
    LONGHAUL_LOCK_MS: '10000',
  });
  const text = letters(2000);
  const task = generateTask(2000, 0);
  for (const { jobId } of jobs) await cluster.submitText(jobId, text, task);
  const first = await cluster.startWorker('first');
  await Promise.all(jobs.map(({ jobId }) => cluster.head(jobId, (head) => head.position.outputCount > 0)));
  await first.stop('SIGTERM');
  const faults = jobs.map(({ kind, damage, jobId }) =>
    s3.faults.add({ match: { method: 'GET', keyIncludes: `jobs/${jobId}/${kind}`, times: 1 }, action: damage }),
  );
  await cluster.startWorker('second');
  const expected = await truth(cluster, models.induction, text, task);
  for (const [i, { jobId }] of jobs.entries()) {
    await assertSame(cluster, jobId, await cluster.result(jobId), expected);
    assert.equal(faults[i]!.hits, 1, `${jobId} never met its damage`);
  }
});

test('a document whose transfer breaks off again and again is read on from where it broke', async (t) => {
  const { s3, cluster } = await onS3(t, models.induction, {});
  const text = letters(400_000);
  const jobId = await cluster.submitText('cut-off-input', text, scoreTask);
  const cut = s3.faults.add({ match: { method: 'GET', keyIncludes: 'inputs/', times: 4 }, action: 'truncate-body' });
  await cluster.startWorker('only');
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.induction, text, scoreTask));
  assert.equal(cut.hits, 4);
});
