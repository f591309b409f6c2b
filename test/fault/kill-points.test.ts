import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JobId } from '@longhaul/core/contracts';
import { models } from '../support/cluster.ts';
import { ringWith } from '../support/ring.ts';
import type { Fault, S3Server } from '../support/s3-server/index.ts';
import { letters } from './committed-work.ts';
import { onS3 } from './on-s3.ts';
import { assertSame, generateTask, truth } from './shared.ts';

const env = { LONGHAUL_COMMIT_SECONDS: '0.1', LONGHAUL_LOCK_MS: '2000', LONGHAUL_STALLED_MS: '250' };

/** Before the write takes effect, or behind it and before its answer. */
const moments = { before: 'stall', behind: 'hang-after' } as const;
type Moment = keyof typeof moments;

/** Arms the write; resolves to its fault once that is known. */
type Arm = (s3: S3Server, jobId: JobId, moment: Moment) => Promise<Fault>;

const at =
  (key: string, skip: number): Arm =>
  async (s3, jobId, moment) =>
    s3.faults.add({
      match: { method: 'PUT', keyIncludes: `jobs/${jobId}/${key}`, skip, times: 1 },
      action: moments[moment],
    });

/** The head's last write is the one behind the result, which is held up until the rule stands. */
const headDone: Arm = async (s3, jobId, moment) => {
  const result = { method: 'PUT', keyIncludes: `jobs/${jobId}/result.json`, times: 1 };
  await s3.faults.add({ match: result, action: 'stall' }).hit;
  const fault = s3.faults.add({
    match: { method: 'PUT', keyIncludes: `jobs/${jobId}/head.json`, times: 1 },
    action: moments[moment],
  });
  s3.faults.release();
  return fault;
};

/** Everything that a worker writes, in order. Behind the head's last write comes only the queue's acknowledgement. */
const points: readonly (readonly [string, Arm])[] = [
  // The first write of a head is the submitter's.
  ['acquire', at('head.json', 1)],
  ['checkpoint', at('ckpt/', 1)],
  ['segment', at('out/', 1)],
  ['head-swap', at('head.json', 3)],
  ['result', at('result.json', 0)],
  ['head-done', headDone],
];

test('a worker killed at each write of a job, before it and behind it: its heir ends with the same bytes', async (t) => {
  const { s3, cluster } = await onS3(t, models.induction, env);
  const text = letters(2000);
  const task = generateTask(2000, 0);
  const expected = await truth(cluster, models.induction, text, task);
  // The heir of one job is the victim of the next.
  let worker = await cluster.startWorker('worker-0');
  for (const [point, arm] of points) {
    for (const moment of ['before', 'behind'] as const) {
      await t.test(`${moment} ${point}`, async () => {
        const jobId = `killed-${moment}-${point}`;
        const armed = arm(s3, jobId, moment);
        await cluster.submitText(jobId, text, task);
        await (await armed).hit;
        await worker.stop('SIGKILL');
        s3.faults.clear();
        worker = await cluster.startWorker(`worker-${cluster.workers.length}`);
        await assertSame(cluster, jobId, await cluster.result(jobId), expected);
        await cluster.head(jobId, ({ status }) => status === 'done');
      });
    }
  }
});

test('a submitter that dies between the spec and the head, or before the queue heard: whoever rings finds the job', async (t) => {
  const { s3, cluster } = await onS3(t, models.induction, env);
  const text = letters(2000);
  const task = generateTask(50, 0);
  const jobId = 'spec-without-head';
  const lost = s3.faults.add({
    match: { method: 'PUT', keyIncludes: `jobs/${jobId}/head.json` },
    action: 'denied-403',
  });
  await assert.rejects(cluster.submitText(jobId, text, task), { code: 'store_denied' });
  assert.ok(lost.hits > 0);
  s3.faults.clear();
  assert.equal((await cluster.ledger.readSpec(jobId)).jobId, jobId);
  await cluster.startWorker('only');
  await cluster.queue.enqueue(jobId, ringWith(0));
  await assertSame(cluster, jobId, await cluster.result(jobId), await truth(cluster, models.induction, text, task));
});
