import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@longhaul/core/contracts';
import { followDefaults, followJob } from '@longhaul/producer';
import { Cluster, models, waitFor } from '../support/cluster.ts';
import { Screen } from '../support/streaming-job.ts';
import { assertSame, bookBytes, collectLive, generateTask, scoreTask, truth } from './shared.ts';

test('a score job whose workers are killed again and again ends with the bytes of an uninterrupted run', async (t) => {
  const commitTokens = 8192;
  const chunkTokens = 2048;
  const cluster = await Cluster.start({
    model: models.tinyEnglish,
    env: { LONGHAUL_COMMIT_TOKENS: String(commitTokens), LONGHAUL_COMMIT_SECONDS: '3600', LONGHAUL_LOCK_MS: '4000' },
  });
  t.after(() => cluster.close());
  const text = await bookBytes(120_000);
  const jobId = await cluster.submitText('kill-score', text, scoreTask);
  const kills = [18_000, 42_000, 75_000];
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
  const task = generateTask(6000, 0);
  const jobId = await cluster.submitText('kill-generate', text, task);
  const stop = new AbortController();
  const live = collectLive(cluster, jobId, stop.signal);
  for (const [i, at] of [1000, 3000].entries()) {
    const worker = await cluster.startWorker(`victim-${i}`);
    await cluster.progress(jobId, (p) => p.worker === worker.id && p.outputTokens >= at);
    await worker.stop('SIGKILL');
  }
  await cluster.startWorker('survivor');
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, task));
  const events = await live;
  assert.equal(events.at(-1)?.kind, 'end');
  // What stands once everything taken back was taken out: every position once, in order.
  const standing: string[] = [];
  let rewinds = 0;
  for (const event of events) {
    if (event.kind === 'rewind') {
      assert.equal(event.from, standing.length);
      standing.length = event.to;
      rewinds++;
    }
    if (event.kind !== 'token') continue;
    assert.equal(event.position, standing.length + 1);
    standing.push(event.text);
  }
  assert.equal(standing.length, result.usage.outputTokens);
  assert.equal(standing.join(''), result.text);
  assert.ok(rewinds <= 2, `${rewinds} rewinds for two kills`);
});

test('a follower across a kill: what the dead worker had not committed is taken back, and comes again the same', async (t) => {
  // No commit before the end, so the whole output is at risk.
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: { LONGHAUL_COMMIT_SECONDS: '3600' } });
  t.after(() => cluster.close());
  const text = await bookBytes(20_000);
  const task = generateTask(3000, 0.8);
  const jobId = await cluster.submitText('kill-followed', text, task);
  const options = { ...followDefaults, clock: systemClock, signal: AbortSignal.timeout(120_000) };
  const screen = new Screen();
  const following = (async () => {
    for await (const event of followJob(cluster.ledger, cluster.live, jobId, options)) screen.show(event);
  })();
  const committed = new Screen();
  const waiting = (async () => {
    for await (const event of followJob(cluster.ledger, cluster.live, jobId, { ...options, committedOnly: true })) {
      committed.show(event);
    }
  })();
  const victim = await cluster.startWorker('victim');
  await waitFor(
    async () => (screen.position >= 500 ? true : null),
    60_000,
    () => 'the follower to be ahead of commits',
  );
  const shown = screen.records.slice(0, 500);
  await victim.stop('SIGKILL');
  const { position } = await cluster.head(jobId, () => true);
  assert.equal(position.outputCount, 0, 'a commit stood in the middle of the output: the test proves nothing');
  await cluster.startWorker('survivor');
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, task));
  await Promise.all([following, waiting]);
  assert.equal(screen.rewinds.length, 1);
  assert.ok(screen.rewinds[0]!.from >= 500 && screen.rewinds[0]!.to === 0);
  assert.deepEqual(screen.records.slice(0, 500), shown, 'what came again is not the same');
  for (const one of [screen, committed]) {
    assert.equal(one.records.length, result.usage.outputTokens);
    assert.equal(one.records.map((record) => record.text).join(''), result.text);
  }
  assert.deepEqual(committed.rewinds, []);
});

test('two jobs that share the batch and lose their worker end as if each had been alone', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish });
  t.after(() => cluster.close());
  const long = await bookBytes(80_000);
  const short = await bookBytes(20_000);
  const scored = await cluster.submitText('shared-score', long, scoreTask);
  const task = generateTask(1000, 0.8);
  const written = await cluster.submitText('shared-generate', short, task);
  const first = await cluster.startWorker('first');
  await cluster.progress(scored, (p) => p.tokens >= 15_000);
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
