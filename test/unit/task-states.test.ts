import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits, RetryableFailure, type Task } from '@longhaul/core/contracts';
import { fakeEngine } from '../support/fake-engine.ts';
import { failsAtStep, TaskWorld } from '../support/task-world.ts';
import { greedySampling, scoreTask } from '../support/tasks.ts';

const ingest: Task = { kind: 'ingest' };
const append: Task = { kind: 'append' };
const generate: Task = {
  kind: 'generate',
  prompt: ' so',
  maxNewTokens: 20,
  sampling: greedySampling,
  stop: [],
  topLogprobs: 0,
};
const inline = (text: string) => ({ kind: 'inline', text }) as const;
const first = 'It is a way I have of driving off the spleen and regulating the circulation. ';
const second = 'Whenever I find myself growing grim about the mouth, I account it high time to get to sea. ';
const newest = (name: string) => ({ name, version: null });
const offline = () => new RetryableFailure('store_unavailable', 'the store gave no answer');

/** A world with the state `book`, which has read `first`. */
async function withBook(): Promise<TaskWorld> {
  const world = new TaskWorld();
  await world.run('job-ingest', { task: ingest, document: inline(first), saveAs: 'book' });
  return world;
}

test('an ingest publishes the state at the end of its document, an append the next version: the state of both', async () => {
  const world = await withBook();
  const result = await world.run('job-append', { task: append, document: inline(second), from: newest('book') });
  assert.deepEqual(result.state, { name: 'book', version: 2 });
  assert.deepEqual([result.finishReason, result.task], ['read', 'append']);
  assert.deepEqual(result.usage, {
    inputTokens: second.length,
    cachedTokens: first.length,
    outputTokens: 0,
    inputBytes: second.length,
  });
  const whole = await world.run('job-whole', { task: ingest, document: inline(first + second), saveAs: 'whole' });
  assert.deepEqual(result.digests, whole.digests);
  const versions = await world.states.versions('default', 'book');
  assert.deepEqual(
    versions.map(({ version, origin, inputBytes }) => [version, origin.how, origin.parent, inputBytes]),
    [
      [1, 'ingest', null, first.length],
      [2, 'append', { name: 'book', version: 1 }, first.length + second.length],
    ],
  );
  assert.equal(versions[1]!.checkpoint.stateSha256, whole.digests.state);
  assert.equal(versions[1]!.checkpoint.tokenOffset, first.length + second.length);
  assert.deepEqual(versions[1]!.origin.job, { jobId: 'job-append', generation: 0 });
});

test('a job from a state says what one over the whole text says, and counts what it read itself', async () => {
  const world = await withBook();
  const whole = await world.run('job-whole', { task: generate, document: inline(first + second) });
  const from = await world.run('job-from', { task: generate, document: inline(second), from: newest('book') });
  assert.deepEqual(from.digests, whole.digests);
  assert.equal(from.text, whole.text);
  assert.deepEqual([from.usage.inputTokens, from.usage.cachedTokens], [second.length + 3, first.length]);
  const prompt: Task = { ...generate, prompt: `${second} so` };
  const bare = await world.run('job-bare', { task: prompt, from: { name: 'book', version: 1 } });
  assert.equal(bare.text, whole.text);
  assert.equal(bare.usage.inputBytes, 0);
});

test('a generated state that is saved has read every token that was written', async () => {
  const world = await withBook();
  const told = await world.run('job-told', { task: generate, from: newest('book'), saveAs: 'told' });
  assert.deepEqual(told.state, { name: 'told', version: 1 });
  const { checkpoint } = await world.states.resolve('default', newest('told'));
  assert.equal(checkpoint.tokenOffset, first.length + 3 + 20);
  assert.equal(checkpoint.stateSha256, told.digests.state);
  const read = await world.run('job-read', {
    task: ingest,
    document: inline(`${first} so${told.text}`),
    saveAs: 'read',
  });
  assert.equal(read.digests.state, checkpoint.stateSha256);
});

test('a score from a state covers its own document and saves what it read', async () => {
  const world = await withBook();
  const result = await world.run('job-score', {
    task: { ...scoreTask, segmentTokens: 64 },
    document: inline(second),
    from: newest('book'),
    saveAs: 'scored',
  });
  assert.equal(result.score?.tokens, second.length - 1);
  const records = await world.records('job-score');
  assert.deepEqual('from' in records[0]! && records[0].from, first.length);
  const { checkpoint } = await world.states.resolve('default', newest('scored'));
  assert.equal(checkpoint.stateSha256, result.digests.state);
});

test('interrupted at any step, each task ends with the bytes of an uninterrupted run, and publishes once', async () => {
  const jobs = [
    { name: 'ingest', task: ingest, document: inline(first + second), saveAs: 'made' },
    { name: 'append', task: append, document: inline(second), from: newest('book'), saveAs: null },
    { name: 'generate', task: generate, document: inline(second), from: newest('book'), saveAs: 'made' },
  ] as const;
  for (const { name, ...job } of jobs) {
    const straight = await withBook();
    const expected = await straight.run('job-that-is-cut', job);
    const made = expected.state!.name;
    let interrupted = 0;
    for (let step = 1; step <= 40; step++) {
      const world = await withBook();
      await world.submit('job-that-is-cut', job);
      const end = await world.attempt('job-that-is-cut', world.worker(failsAtStep(step, offline)));
      if (end.kind === 'done') continue;
      interrupted++;
      const result = await world.finish('job-that-is-cut');
      assert.deepEqual(result.digests, expected.digests, `${name} cut at step ${step}`);
      assert.deepEqual(result.usage, expected.usage, `${name} cut at step ${step}`);
      assert.deepEqual([result.text, result.state], [expected.text, expected.state], `${name} cut at step ${step}`);
      const versions = await world.states.versions('default', made);
      assert.equal(versions.length, expected.state!.version, `${name} cut at step ${step}`);
    }
    assert.ok(interrupted > 5, `${name} was cut ${interrupted} times: the test proves nothing`);
  }
});

test('an owner that dies between the publication and the result leaves one version, and its heir says which', async () => {
  for (const task of [ingest, append]) {
    const world = await withBook();
    const names = task.kind === 'ingest' ? { saveAs: 'made' } : { from: newest('book') };
    await world.submit('job-that-is-cut', { task, document: inline(second), ...names });
    const put = world.store.putIfAbsent.bind(world.store);
    let refused = 0;
    world.store.putIfAbsent = async (key, ...rest) => {
      if (!key.endsWith('/result.json') || refused > 0) return await put(key, ...rest);
      refused++;
      throw offline();
    };
    assert.equal((await world.attempt('job-that-is-cut')).kind, 'retry');
    const name = task.kind === 'ingest' ? 'made' : 'book';
    const before = await world.states.versions('default', name);
    assert.deepEqual(
      before.at(-1)?.origin.job,
      { jobId: 'job-that-is-cut', generation: 0 },
      'not published before the result',
    );
    const result = await world.finish('job-that-is-cut');
    assert.equal(result.status, 'succeeded', JSON.stringify(result.failure));
    assert.deepEqual(result.state, { name, version: before.at(-1)!.version });
    assert.deepEqual(await world.states.versions('default', name), before);
  }
});

test('an append that is redriven behind its publication finds the version that it made', async () => {
  const world = await withBook();
  await world.submit('job-that-is-cut', { task: append, document: inline(second), from: newest('book') });
  const put = world.store.putIfAbsent.bind(world.store);
  world.store.putIfAbsent = async (key, ...rest) => {
    if (key.endsWith('/result.json')) throw offline();
    return await put(key, ...rest);
  };
  await world.attempt('job-that-is-cut');
  world.store.putIfAbsent = put;
  const acquired = await world.ledger.acquire('job-that-is-cut', 'by hand');
  assert.ok(acquired.kind === 'lease');
  await acquired.lease.quarantine({ code: 'stuck', message: 'by hand', at: new Date().toISOString() });
  await world.ledger.redrive('job-that-is-cut');
  const result = await world.finish('job-that-is-cut');
  assert.deepEqual([result.status, result.generation, result.state], ['succeeded', 1, { name: 'book', version: 2 }]);
  assert.equal((await world.states.versions('default', 'book')).length, 2);
});

test('a state that is removed once a job has begun from it is not missed', async () => {
  const world = await withBook();
  const expected = await world.run('job-straight', { task: generate, document: inline(second), from: newest('book') });
  await world.submit('job-begun', { task: generate, document: inline(second), from: newest('book') });
  assert.equal((await world.attempt('job-begun', world.worker(failsAtStep(1, offline)))).kind, 'retry');
  const head = await world.ledger.readHead('job-begun');
  assert.deepEqual([head?.seq, head?.position.tokenOffset, head?.pins?.from?.version], [1, first.length, 1]);
  await world.states.remove('default', newest('book'));
  const result = await world.finish('job-begun');
  assert.deepEqual([result.text, result.digests], [expected.text, expected.digests]);
});

test('a job begins from the version that its first owner found, whatever is published later', async () => {
  const world = await withBook();
  const job = { task: generate, document: inline(second), from: newest('book') };
  const expected = await world.run('job-straight', job);
  await world.submit('job-begun', job);
  await world.attempt('job-begun', world.worker(failsAtStep(2, offline)));
  await world.run('job-append', { task: append, document: inline(second), from: newest('book') });
  const result = await world.finish('job-begun');
  assert.deepEqual(result.digests, expected.digests);
  assert.equal(result.usage.cachedTokens, first.length);
});

test('an append that another one overtook is quarantined, says what to do, and keeps its checkpoint', async () => {
  const world = await withBook();
  await world.submit('job-slow', { task: append, document: inline(second), from: newest('book') });
  await world.attempt('job-slow', world.worker(failsAtStep(2, offline)));
  await world.run('job-quick', { task: append, document: inline('and more'), from: newest('book') });
  const slow = await world.finish('job-slow');
  assert.equal(slow.failure?.code, 'state_moved');
  assert.match(
    slow.failure!.message,
    /began from book@1, and .*submitting it again, or keep both .* ingest, from book@1/,
  );
  assert.equal(slow.checkpoint?.tokenOffset, first.length + second.length);
  assert.equal((await world.states.versions('default', 'book')).length, 2);
  // One to a version that is known to be passed does not read its document.
  world.fed.prefill = 0;
  await world.submit('job-late', { task: append, document: inline(second), from: { name: 'book', version: 1 } });
  const late = await world.finish('job-late');
  assert.match(late.failure!.message, /began from book@1, and version 2 is the newest/);
  assert.equal(world.fed.prefill, 0);
});

test('a state of another model, tokenizer or engine is refused with both, and one that is not there by name', async () => {
  const world = await withBook();
  const other = 'f'.repeat(64);
  const ours = fakeEngine();
  const wrong = [
    ['model_mismatch', { engine: { ...ours, modelDigest: other } }, [other, ours.modelDigest]],
    ['state_mismatch', { engine: { ...ours, identity: 'fake/2' } }, ['fake/2', 'fake/1']],
  ] as const;
  for (const [code, { engine }, texts] of wrong) {
    const jobId = `job-${code}`;
    await world.submit(jobId, { task: generate, from: newest('book') });
    const { failure } = await world.finish(jobId, world.worker(engine));
    assert.equal(failure?.code, code);
    for (const text of texts) assert.ok(failure!.message.includes(text), failure!.message);
  }
  await world.submit('job-missing', { task: generate, from: newest('nowhere') });
  const { failure } = await world.finish('job-missing');
  assert.equal(failure?.code, 'state_not_found');
  assert.match(failure!.message, /nowhere/);
  const job = { task: generate, from: newest('book') };
  await world.submit('job-tokenizer', job);
  const { byteTokenizer } = await import('../support/fake-engine.ts');
  const tokenizer = { ...byteTokenizer, digest: other };
  const result = await world.finish('job-tokenizer', world.worker(fakeEngine(), { tokenizer }));
  assert.equal(result.failure?.code, 'tokenizer_mismatch');
  assert.ok(result.failure!.message.includes(other) && result.failure!.message.includes(byteTokenizer.digest));
});

test('a checkpoint that is lost sends a job back to the state that it began from', async () => {
  const world = await withBook();
  const job = { task: generate, document: inline(second), from: newest('book') };
  const expected = await world.run('job-straight', job);
  await world.submit('job-lost', job);
  await world.attempt('job-lost', world.worker(failsAtStep(2, offline)));
  for (const key of [...world.store.objects.keys()]) {
    if (key.startsWith('jobs/job-lost/ckpt/')) await world.store.delete(key);
  }
  const result = await world.finish('job-lost');
  assert.deepEqual([result.status, result.digests], ['succeeded', expected.digests]);
  assert.ok(result.stats.fallbacks >= 1);
  assert.ok(result.stats.recomputedTokens <= second.length, `${result.stats.recomputedTokens} tokens read twice`);
});

test('a job that begins from a state counts its attempts like any other: a poison one ends', async () => {
  const world = await withBook();
  await world.submit('job-poison', { task: generate, document: inline(second), from: newest('book') });
  for (let i = 0; i < limits.stuckAttempts + 1; i++) {
    await world.attempt('job-poison', world.worker(failsAtStep(1, () => new Error('a crash'))));
  }
  await world.attempt('job-poison');
  assert.equal((await world.ledger.readResult('job-poison'))?.failure?.code, 'stuck');
});
