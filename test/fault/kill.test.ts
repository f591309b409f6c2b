import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cluster, models } from '../support/cluster.ts';
import { assertSame, bookBytes, collectLive, generateTask, scoreTask, truth } from './shared.ts';

test('a score job whose workers are killed again and again ends with the bytes of an uninterrupted run', async (t) => {
  const commitTokens = 16_384;
  const chunkTokens = 2048;
  const cluster = await Cluster.start({
    model: models.tinyEnglish,
    env: { LONGHAUL_COMMIT_TOKENS: String(commitTokens), LONGHAUL_COMMIT_SECONDS: '3600' },
  });
  t.after(() => cluster.close());
  const text = await bookBytes(220_000);
  const jobId = await cluster.submitText('kill-score', text, scoreTask);
  const kills = [35_000, 75_000, 130_000];
  for (const [i, at] of kills.entries()) {
    const worker = await cluster.startWorker(`victim-${i}`);
    await cluster.progress(jobId, (p) => p.worker === worker.id && p.tokens >= at);
    await worker.stop('SIGKILL');
  }
  await cluster.startWorker('survivor');
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, scoreTask));
  assert.equal(result.stats.attempts, kills.length + 1);
  // P2: one commit interval each, and the chunks that ran while the last commit was on its way.
  const { recomputedTokens } = result.stats;
  t.diagnostic(`recomputed ${recomputedTokens} tokens over ${kills.length} kills`);
  assert.ok(recomputedTokens > 0, 'three kills with nothing recomputed: the count is broken');
  assert.ok(recomputedTokens <= kills.length * (commitTokens + 4 * chunkTokens), `recomputed ${recomputedTokens}`);
});

test('a generate job killed while it writes gives each token once, to the stream and in the result', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: { LONGHAUL_COMMIT_SECONDS: '0.3' } });
  t.after(() => cluster.close());
  const text = await bookBytes(20_000);
  const task = generateTask(12_000, 0);
  const jobId = await cluster.submitText('kill-generate', text, task);
  const stop = new AbortController();
  const live = collectLive(cluster, jobId, stop.signal);
  for (const [i, at] of [2000, 6000].entries()) {
    const worker = await cluster.startWorker(`victim-${i}`);
    await cluster.progress(jobId, (p) => p.worker === worker.id && p.outputTokens >= at);
    await worker.stop('SIGKILL');
  }
  await cluster.startWorker('survivor');
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, task));
  const events = await live;
  assert.equal(events.at(-1)?.kind, 'end');
  const positions = events.flatMap((event) => (event.kind === 'token' ? [event.position] : []));
  assert.deepEqual(
    positions,
    Array.from({ length: result.usage.outputTokens }, (_, i) => i + 1),
  );
  const streamed = events.map((event) => (event.kind === 'token' ? event.text : '')).join('');
  assert.equal(streamed, result.text);
});

test('two jobs that share the batch and lose their worker end as if each had been alone', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish });
  t.after(() => cluster.close());
  const long = await bookBytes(120_000);
  const short = await bookBytes(40_000);
  const scored = await cluster.submitText('shared-score', long, scoreTask);
  const task = generateTask(1500, 0.8);
  const written = await cluster.submitText('shared-generate', short, task);
  const first = await cluster.startWorker('first');
  await cluster.progress(scored, (p) => p.tokens >= 30_000);
  await first.stop('SIGKILL');
  await cluster.startWorker('second');
  await assertSame(
    cluster,
    scored,
    await cluster.result(scored),
    await truth(cluster, models.tinyEnglish, long, scoreTask),
  );
  await assertSame(
    cluster,
    written,
    await cluster.result(written),
    await truth(cluster, models.tinyEnglish, short, task),
  );
});
