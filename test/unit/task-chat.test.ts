import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type AskTask,
  type ChatPrompt,
  type GenerateTask,
  LonghaulError,
  type OutputRecord,
  RetryableFailure,
} from '@longhaul/core/contracts';
import { byteTokenizer, fakeEngine } from '../support/fake-engine.ts';
import { failsAtStep, TaskWorld } from '../support/task-world.ts';
import { greedySampling } from '../support/tasks.ts';

const chat: ChatPrompt = {
  messages: [
    { role: 'system', content: 'Be brief, and speak as whalers do.' },
    { role: 'user', content: 'Why is it that the whale is white?' },
  ],
};
/** As the template of `byteTokenizer` has it. */
const rendered = chat.messages.map(({ role, content }) => `<${role}>${content}`).join('');
const inline = (text: string) => ({ kind: 'inline', text }) as const;
const generate: GenerateTask = {
  kind: 'generate',
  prompt: chat,
  maxNewTokens: 20,
  sampling: greedySampling,
  stop: [],
  topLogprobs: 0,
};
const ask: AskTask = {
  kind: 'ask',
  questions: { kind: 'inline', questions: [{ id: 'why', prompt: chat, maxNewTokens: null }] },
  maxNewTokens: 20,
  sampling: greedySampling,
  stop: [],
  logprobs: false,
  topLogprobs: 0,
};
const offline = () => new RetryableFailure('store_unavailable', 'the store gave no answer');

const textsOf = (records: readonly OutputRecord[]) =>
  records.map((record) => ('index' in record ? record.text : assert.fail('no answer')));

test('a chat alone is one job: what the template makes of it is read, and gone on with', async () => {
  const world = new TaskWorld();
  const told = await world.run('job-chat', { task: generate });
  assert.equal(world.fed.prefill, rendered.length);
  assert.deepEqual([told.usage.inputTokens, told.usage.inputBytes], [rendered.length, 0]);
  const plain = await world.run('job-plain', { task: { ...generate, prompt: rendered } });
  const read = await world.run('job-read', { task: { ...generate, prompt: null }, document: inline(rendered) });
  assert.deepEqual(told.digests, plain.digests);
  assert.deepEqual([told.text, told.digests.output], [read.text, read.digests.output]);
});

test('a chat behind a document, and behind a state, is read behind it', async () => {
  const world = new TaskWorld();
  const behind = await world.run('job-behind', {
    task: generate,
    document: inline('Call me Ishmael. '),
    saveAs: 'told',
  });
  const whole = { task: { ...generate, prompt: null }, document: inline(`Call me Ishmael. ${rendered}`) };
  assert.equal(behind.text, (await world.run('job-whole', whole)).text);
  await world.run('job-ingest', { task: { kind: 'ingest' }, document: inline('Call me Ishmael. '), saveAs: 'book' });
  const from = await world.run('job-from', { task: generate, from: { name: 'book', version: 1 } });
  assert.equal(from.text, behind.text);
});

test('a chat that is interrupted anywhere gives the bytes of one that is not, and saves the same state', async () => {
  const world = new TaskWorld();
  const whole = await world.run('job-whole', { task: generate, saveAs: 'whole' });
  for (const step of [1, 2, 4, 6, 12, 24]) {
    const jobId = `job-cut-${step}`;
    await world.submit(jobId, { task: generate, saveAs: 'cut' });
    await world.attempt(jobId, world.worker(failsAtStep(step, offline)));
    assert.equal(await world.ledger.readResult(jobId), null, `step ${step} was the last`);
    const cut = await world.finish(jobId);
    assert.deepEqual([cut.digests, cut.usage], [whole.digests, whole.usage], `cut at step ${step}`);
  }
  assert.equal((await world.states.resolve('default', { name: 'whole', version: 1 })).origin.document, null);
});

test('a question may be a chat, in the spec and in a line; identical questions of a document read it once', async () => {
  const world = new TaskWorld();
  const document = inline('Call me Ishmael. ');
  await world.run('job-asked', { task: ask, document });
  const questions = await world.putQuestions([JSON.stringify({ custom_id: 'why', ...chat })]);
  await world.run('job-lines', { task: { ...ask, questions }, document });
  const alone = await world.run('job-alone', { task: generate, document });
  assert.deepEqual(textsOf(await world.records('job-asked')), [alone.text]);
  assert.deepEqual(await world.records('job-lines'), await world.records('job-asked'));

  world.fed.prefill = 0;
  const three = [0, 1, 2].map(() => ({ id: null, prompt: chat, maxNewTokens: null }));
  await world.run('job-three', { task: { ...ask, questions: { kind: 'inline', questions: three } }, document });
  assert.equal(world.fed.prefill, document.text.length + 3 * rendered.length);
});

test('questions without a document or a state are asked of nothing read', async () => {
  const world = new TaskWorld();
  const asked = await world.run('job-asked', { task: ask });
  assert.deepEqual(asked.usage, {
    inputTokens: rendered.length,
    cachedTokens: 0,
    outputTokens: 20,
    inputBytes: 0,
  });
  const alone = await world.run('job-alone', { task: generate });
  assert.deepEqual(textsOf(await world.records('job-asked')), [alone.text]);
  await world.submit('job-cut-off', { task: ask });
  await world.attempt('job-cut-off', world.worker(failsAtStep(9, offline)));
  assert.equal(await world.ledger.readResult('job-cut-off'), null);
  assert.deepEqual((await world.finish('job-cut-off')).digests, asked.digests);
});

test('a line has a prompt or messages, and what is wrong with them is told in its place', async () => {
  const world = new TaskWorld();
  const questions = await world.putQuestions([
    JSON.stringify({ prompt: 'why?', ...chat }),
    JSON.stringify({ custom_id: 'none' }),
    JSON.stringify({ messages: [] }),
    JSON.stringify({ messages: [{ role: 'boss', content: 'why?' }] }),
    JSON.stringify({ messages: [{ role: 'user', content: 'x'.repeat(200_000) }] }),
    JSON.stringify({ messages: [{ role: 'user', content: 'why?' }] }),
  ]);
  await world.run('job-asked', { task: { ...ask, questions } });
  const records = await world.records('job-asked');
  const messages = records.map((record) => ('index' in record ? record.error?.message : assert.fail()));
  const expected = [
    /^line 1: prompt: a question has either a prompt or messages$/,
    /^line 2: prompt: a question has either a prompt or messages$/,
    /^line 3: messages: a chat has at least one message$/,
    /^line 4: messages\.0\.role: .*"tool"/,
    /^line 5: messages: the messages of a chat have at most 196608 bytes as UTF-8$/,
  ];
  for (const [i, pattern] of expected.entries()) assert.match(messages[i]!, pattern);
  assert.equal(messages[5], undefined);
});

test('a model without a template, and a template that refuses or makes nothing, end the job and say so', async () => {
  const refusing = (code: 'tokenizer_unsupported' | 'invalid_argument', message: string) => () => {
    throw new LonghaulError(code, message, { cause: new Error('only user and assistant') });
  };
  const cases = [
    [
      refusing('tokenizer_unsupported', '/srv/models/x has no chat template'),
      /^model unit has no chat template: give a/,
    ],
    [refusing('invalid_argument', "the model's chat template refuses these"), /refuses these: only user and assistant/],
    [() => '', /chat template makes nothing of these messages/],
  ] as const;
  for (const [i, [renderChat, message]] of cases.entries()) {
    const world = new TaskWorld();
    const worker = world.worker(fakeEngine(), { tokenizer: { ...byteTokenizer, renderChat } });
    await world.submit('job-chat', { task: generate });
    const { status, failure } = await world.finish('job-chat', worker);
    assert.deepEqual([status, failure?.code], ['failed', 'invalid_argument'], `case ${i}`);
    assert.match(failure!.message, message);
    assert.ok(!failure!.message.includes('/srv'), 'where the model lies is nobody’s business');

    await world.submit('job-asked', { task: ask });
    const asked = await world.finish('job-asked', worker);
    assert.deepEqual(asked.answers, { total: 1, failed: 1 });
    const [record] = await world.records('job-asked');
    assert.ok(record !== undefined && 'index' in record);
    assert.equal(record.error?.code, 'invalid_argument');
    assert.match(record.error!.message, message);
  }
});
