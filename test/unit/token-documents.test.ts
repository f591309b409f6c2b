import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DocumentSource, RejectedJob, RetryableFailure, type ScoreTask } from '@longhaul/core/contracts';
import { openTokens } from '../../worker/text/index.ts';
import { failsAtStep, TaskWorld } from '../support/task-world.ts';
import { scoreTask } from '../support/tasks.ts';

const text = 'It is a way I have of driving off the spleen and regulating the circulation. ';
const tokensOf = (words: string): DocumentSource => ({ kind: 'tokens', tokens: [...Buffer.from(words)] });
const task: ScoreTask = { ...scoreTask, segmentTokens: 64, detail: 'token' };
const { signal } = new AbortController();
const byteLength = (token: number) => token % 4;
const offline = () => new RetryableFailure('store_unavailable', 'the store gave no answer');
const rejected = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof RejectedJob && error.code === code && message.test(error.message);

test('a document of tokens is read as a text of these tokens is, to the same bytes', async () => {
  const world = new TaskWorld();
  const told = await world.run('job-text', { task, document: { kind: 'inline', text } });
  const listed = await world.run('job-tokens', { task, document: tokensOf(text) });
  assert.deepEqual([listed.digests, listed.usage, listed.score], [told.digests, told.usage, told.score]);
  const { pins } = (await world.ledger.readHead('job-tokens'))!;
  assert.match(pins!.source!.tag, /^sha256:/);
});

test('interrupted at any chunk, a document of tokens gives the bytes of an uninterrupted run', async () => {
  const world = new TaskWorld();
  const whole = await world.run('job-whole', { task, document: tokensOf(text) });
  for (let step = 1; step <= 5; step++) {
    const jobId = `job-cut-${step}`;
    await world.submit(jobId, { task, document: tokensOf(text) });
    await world.attempt(jobId, world.worker(failsAtStep(step, offline)));
    assert.equal(await world.ledger.readResult(jobId), null);
    const cut = await world.finish(jobId);
    assert.deepEqual([cut.digests, cut.usage], [whole.digests, whole.usage], `cut at step ${step}`);
  }
});

test('a token that the model has not ends the job, naming its place, its id and the vocabulary', async () => {
  const world = new TaskWorld();
  await world.submit('job-beyond', { task, document: { kind: 'tokens', tokens: [1, 2, 256] } });
  const { status, failure } = await world.finish('job-beyond');
  assert.deepEqual([status, failure?.code], ['failed', 'token_out_of_range']);
  assert.match(failure!.message, /token 2 of the document is 256; the model has tokens 0 to 255/);
  assert.equal(world.fed.prefill, 0);
});

test('a place in a list counts the bytes of its text, and is entered again', async () => {
  const tokens = [1, 2, 3, 4, 5, 6, 7];
  const { pin, stream, totalBytes } = openTokens(tokens, { cursor: null, pin: null, byteLength });
  assert.equal(totalBytes, 1 + 2 + 3 + 0 + 1 + 2 + 3);
  assert.deepEqual([...(await stream.read(3, signal))], [1, 2, 3]);
  const { text: cursor, byteOffset } = stream.cursor();
  assert.equal(byteOffset, 6);
  const { stream: rest } = openTokens(tokens, { cursor, pin, byteLength });
  assert.equal(rest.cursor().byteOffset, 6);
  assert.equal(await rest.peek(signal), 4);
  assert.deepEqual([...(await rest.read(100, signal))], [4, 5, 6, 7]);
  assert.deepEqual([await rest.peek(signal), [...(await rest.read(1, signal))]], [null, []]);
  assert.equal(rest.cursor().byteOffset, totalBytes);
});

test('another list, and a place that is none in it, are refused', () => {
  const { pin } = openTokens([1, 2, 3], { cursor: null, pin: null, byteLength });
  for (const other of [
    [1, 2],
    [1, 2, 4],
    [1, 3, 2],
  ]) {
    assert.throws(
      () => openTokens(other, { cursor: null, pin, byteLength }),
      rejected('source_changed', /^the list of tokens has changed since it was first read: expected sha256:/),
    );
  }
  for (const cursor of ['4', '-1', '', '1.5', '{"v":1}']) {
    assert.throws(
      () => openTokens([1, 2, 3], { cursor, pin, byteLength }),
      rejected('checkpoint_corrupt', /not a place in a list of 3 tokens/),
    );
  }
});
