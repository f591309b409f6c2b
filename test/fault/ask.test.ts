import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { AnswerRecord, AskTask, OutputRecord, Task } from '@longhaul/core/contracts';
import { Cluster, models } from '../support/cluster.ts';
import { greedySampling } from '../support/tasks.ts';
import { onS3 } from './on-s3.ts';
import { assertSame, bookBytes, collectLive, generateTask, truth } from './shared.ts';

const ingest: Task = { kind: 'ingest' };
const append: Task = { kind: 'append' };
const newest = (name: string) => ({ name, version: null });

function askTask(questions: number, maxNewTokens: number): AskTask {
  return {
    kind: 'ask',
    questions: {
      kind: 'inline',
      questions: Array.from({ length: questions }, (_, i) => ({
        id: null,
        prompt: `\n\nThe ${i + 1}. of them said, that the whale`,
        maxNewTokens: null,
      })),
    },
    maxNewTokens,
    sampling: { ...greedySampling, temperature: 0.8, topK: 40, seed: '11' },
    stop: [],
    logprobs: true,
    topLogprobs: 2,
  };
}

test('an ask whose workers are killed in the middle ends with the bytes of an uninterrupted run, each answer once', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: { LONGHAUL_COMMIT_SECONDS: '0.2' } });
  t.after(() => cluster.close());
  const text = await bookBytes(60_000);
  const task = askTask(40, 150);
  const jobId = await cluster.submitText('kill-ask', text, task);
  const live = collectLive(cluster, jobId, AbortSignal.timeout(170_000));
  for (const [i, answers] of [5, 18].entries()) {
    const worker = await cluster.startWorker(`victim-${i}`);
    await cluster.progress(jobId, (p) => p.worker === worker.id && p.outputTokens >= answers);
    await worker.stop('SIGKILL');
  }
  const { position } = await cluster.head(jobId, () => true);
  assert.ok(position.outputCount > 0 && position.outputCount < 40, `${position.outputCount} answers were committed`);
  await cluster.startWorker('survivor');
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, task));
  const standing: AnswerRecord[] = [];
  for (const event of await live) {
    if (event.kind === 'rewind') standing.length = event.to;
    if (event.kind !== 'answer') continue;
    assert.equal(event.position, standing.length + 1);
    standing.push(event.record);
  }
  const committed: OutputRecord[] = [];
  for await (const record of cluster.ledger.readOutput(jobId, { skip: 0 })) committed.push(record);
  assert.deepEqual(standing, committed);
});

test('an append whose worker is killed publishes the bytes of an uninterrupted one, beside another job from the same state', async (t) => {
  const cluster = await Cluster.start({
    model: models.tinyEnglish,
    env: { LONGHAUL_COMMIT_TOKENS: '8192', LONGHAUL_COMMIT_SECONDS: '3600' },
  });
  t.after(() => cluster.close());
  const first = await bookBytes(30_000);
  const second = (await bookBytes(100_000)).subarray(30_000);
  const data = ['--data', join(cluster.dir, 'truth')];
  await truth(cluster, models.tinyEnglish, first, ingest, [...data, '--save-as', 'book']);
  const expected = await truth(cluster, models.tinyEnglish, second, append, [...data, '--from', 'book']);

  const victim = await cluster.startWorker('victim');
  await cluster.submitText('job-ingest', first, ingest, { saveAs: 'book' });
  const read = await cluster.result('job-ingest');
  assert.deepEqual(read.state, { name: 'book', version: 1 });
  const jobId = await cluster.submitText('kill-append', second, append, { from: newest('book') });
  const generated = await cluster.submitText('kill-generate', second, generateTask(50, 0), { from: newest('book') });
  await cluster.progress(jobId, (p) => p.committedTokens > read.usage.inputTokens + 8192);
  await cluster.head(generated, ({ seq }) => seq > 0);
  await victim.stop('SIGKILL');
  const { position } = await cluster.head(jobId, () => true);
  assert.equal(position.inputTokens, null, 'the append had ended: the test proves nothing');
  await cluster.startWorker('survivor');
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, expected);
  assert.deepEqual(result.state, { name: 'book', version: 2 });
  const { checkpoint } = await cluster.states.resolve('default', newest('book'));
  assert.equal(checkpoint.stateSha256, expected.digests.state);
  const whole = Buffer.concat([first, second]);
  const one = await truth(cluster, models.tinyEnglish, whole, generateTask(50, 0));
  assert.equal((await cluster.result(generated)).text, one.text);
});

test('a state that is removed while a job that began from it is interrupted is not missed', async (t) => {
  const cluster = await Cluster.start({
    model: models.tinyEnglish,
    env: { LONGHAUL_COMMIT_TOKENS: '8192', LONGHAUL_COMMIT_SECONDS: '3600' },
  });
  t.after(() => cluster.close());
  const first = await bookBytes(20_000);
  const second = (await bookBytes(80_000)).subarray(20_000);
  const task = generateTask(50, 0);
  const victim = await cluster.startWorker('victim');
  await cluster.submitText('job-ingest', first, ingest, { saveAs: 'book' });
  await cluster.result('job-ingest');
  const jobId = await cluster.submitText('job-begun', second, task, { from: newest('book') });
  await cluster.progress(jobId, (p) => p.tokens > 20_000);
  await victim.stop('SIGKILL');
  await cluster.states.remove('default', newest('book'));
  await cluster.startWorker('survivor');
  const result = await cluster.result(jobId);
  const expected = await truth(cluster, models.tinyEnglish, Buffer.concat([first, second]), task);
  assert.deepEqual([result.status, result.text], ['succeeded', expected.text]);
  assert.deepEqual(result.digests, expected.digests);
});

test('a worker killed between the publication and the result: its heir publishes nothing more, and tells the version', async (t) => {
  const env = { LONGHAUL_LOCK_MS: '2000', LONGHAUL_STALLED_MS: '250' };
  const { s3, cluster } = await onS3(t, models.tinyEnglish, env);
  const first = await bookBytes(4000);
  await cluster.startWorker('reader');
  await cluster.submitText('job-ingest', first, ingest, { saveAs: 'book' });
  await cluster.result('job-ingest');
  await Promise.all(cluster.workers.map((worker) => worker.stop()));
  for (const [i, task] of [ingest, append, askTask(3, 20)].entries()) {
    const jobId = `kill-between-${task.kind}`;
    const stalled = s3.faults.add({
      match: { method: 'PUT', keyIncludes: `jobs/${jobId}/result.json`, times: 1 },
      action: 'stall',
    });
    const names = task.kind === 'append' ? { from: newest('book') } : { saveAs: `made-${i}` };
    const name = task.kind === 'append' ? 'book' : `made-${i}`;
    const victim = await cluster.startWorker(`victim-${i}`);
    await cluster.submitText(jobId, first, task, names);
    await stalled.hit;
    const before = await cluster.states.versions('default', name);
    assert.deepEqual(before.at(-1)?.origin.job, { jobId, generation: 0 });
    await victim.stop('SIGKILL');
    s3.faults.clear();
    const heir = await cluster.startWorker(`heir-${i}`);
    const result = await cluster.result(jobId);
    assert.equal(result.status, 'succeeded', JSON.stringify(result.failure));
    assert.deepEqual(result.state, { name, version: before.at(-1)!.version });
    assert.deepEqual(await cluster.states.versions('default', name), before);
    await heir.stop();
  }
});
