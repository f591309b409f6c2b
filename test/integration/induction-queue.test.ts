import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cluster, models } from '../support/cluster.ts';
import { cases, draw, lettersOf } from '../support/induction.ts';
import { greedySampling } from '../support/tasks.ts';

const letters = 'abcdefghijklmnop';

/** Of the longest cases, the one whose answer lies farthest back. */
const farthest = cases.filter(({ length }) => length === 2 ** 20).reduce((a, b) => (b.distance > a.distance ? b : a));

test('one letter across a million others, through the queue, over kills and hand-backs', async (t) => {
  const cluster = await Cluster.start({
    model: models.induction,
    env: { LONGHAUL_COMMIT_SECONDS: '0.2', LONGHAUL_LOCK_MS: '4000' },
  });
  t.after(() => cluster.close());
  const jobId = await cluster.submitText('induction-2-20', lettersOf(draw(farthest)), {
    kind: 'generate',
    prompt: null,
    maxNewTokens: 1,
    sampling: greedySampling,
    stop: [],
    topLogprobs: 0,
  });
  for (const [i, end] of (['SIGKILL', 'SIGTERM', 'SIGKILL'] as const).entries()) {
    const worker = await cluster.startWorker(`reader-${i}`);
    const at = 100_000 + 200_000 * i;
    await cluster.progress(jobId, (p) => p.worker === worker.id && p.tokens >= at);
    await worker.stop(end);
  }
  await cluster.startWorker('reader-last');
  const result = await cluster.result(jobId);
  assert.equal(result.status, 'succeeded', JSON.stringify(result.failure));
  assert.equal(result.usage.inputTokens, 2 ** 20);
  assert.equal(result.text, letters[farthest.answer]);
  assert.equal(result.stats.attempts, 4);
  t.diagnostic(`answer ${farthest.distance} tokens back; recomputed ${result.stats.recomputedTokens}`);
});
