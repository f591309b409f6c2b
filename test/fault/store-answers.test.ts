import assert from 'node:assert/strict';
import { test } from 'node:test';
import { models } from '../support/cluster.ts';
import { letters } from './committed-work.ts';
import { onS3 } from './on-s3.ts';
import { assertSame, generateTask, truth } from './shared.ts';

/** Each write of a job's life; `skip` leaves out the writes of that object before the one that is meant. */
const writes = [
  { name: 'spec', key: 'spec.json', skip: 0 },
  { name: 'first-head', key: 'head.json', skip: 0 },
  { name: 'acquire', key: 'head.json', skip: 1 },
  { name: 'checkpoint', key: 'ckpt/', skip: 0 },
  { name: 'segment', key: 'out/', skip: 0 },
  { name: 'commit', key: 'head.json', skip: 2 },
  { name: 'result', key: 'result.json', skip: 0 },
] as const;

const answers = [
  { name: 'conflict', action: 'conflict-409' },
  { name: 'lost', action: 'reset-after' },
  { name: 'never', action: 'hang-after' },
] as const;

const cases = writes.flatMap((write) =>
  answers.map((answer) => ({ ...write, ...answer, jobId: `answer-${answer.name}-${write.name}` })),
);

test('a 409, a lost answer and one that never comes, at each kind of write: one write, the same bytes', async (t) => {
  const { s3, cluster } = await onS3(t, models.induction, {
    LONGHAUL_COMMIT_SECONDS: '0.2',
    LONGHAUL_SLOTS: '32',
    LONGHAUL_LOCK_MS: '60000',
  });
  const text = letters(3000);
  const task = generateTask(200, 0);
  const faults = cases.map(({ jobId, key, skip, action }) =>
    s3.faults.add({ match: { method: 'PUT', keyIncludes: `jobs/${jobId}/${key}`, skip, times: 1 }, action }),
  );
  await cluster.startWorker('only');
  await Promise.all(cases.map(({ jobId }) => cluster.submitText(jobId, text, task)));
  const expected = await truth(cluster, models.induction, text, task);
  for (const [i, { jobId, name }] of cases.entries()) {
    const result = await cluster.result(jobId, 120_000);
    await assertSame(cluster, jobId, result, expected);
    assert.equal(faults[i]!.hits, 1, `${jobId} never met its fault (${name})`);
    // Nothing was done twice: one attempt, and as many commits as the head counts.
    assert.equal(result.stats.attempts, 1, jobId);
    const head = await cluster.head(jobId, ({ status }) => status === 'done');
    assert.equal(head.seq, result.stats.commits, jobId);
  }
});
