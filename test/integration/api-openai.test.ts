import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { keyFor } from '../support/api-client.ts';
import { Cluster, models } from '../support/cluster.ts';

const prompt = 'Call me Ishmael. Some years ago';
const asked = { model: 'test', prompt, max_tokens: 24, temperature: 0 } as const;

let cluster: Cluster;
let openai: OpenAI;
/** What the engine goes on with, by a job of its own. */
let expected: string;

before(async () => {
  cluster = await Cluster.start({ model: models.tinyEnglish });
  const [api] = await Promise.all([cluster.startApi(), cluster.startWorker('w1')]);
  openai = new OpenAI({ baseURL: `${await api.url()}/v1`, apiKey: await keyFor(cluster.store, 'acme'), maxRetries: 0 });
  await cluster.submitText('job-reference', Buffer.from(prompt), {
    kind: 'generate',
    prompt: null,
    maxNewTokens: 24,
    sampling: { temperature: 0, topK: null, topP: null, minP: null, logitBias: [], repetitionPenalty: 1, seed: '0' },
    stop: [],
    topLogprobs: 0,
  });
  expected = (await cluster.result('job-reference')).text!;
});
after(() => cluster.close());

test('models.list gives the served model', async () => {
  const found = [];
  for await (const model of openai.models.list()) found.push(model.id);
  assert.deepEqual(found, ['test']);
  assert.equal((await openai.models.retrieve('test')).id, 'test');
  await assert.rejects(openai.models.retrieve('gpt-4'), { status: 404, code: 'model_not_found' });
});

test('completions.create is a durable job, and gives its text and usage', async () => {
  const answer = await openai.completions.create(asked);
  assert.equal(answer.choices[0]!.text, expected);
  assert.equal(answer.choices[0]!.finish_reason, 'length');
  assert.deepEqual(
    [answer.usage?.prompt_tokens, answer.usage?.completion_tokens, answer.usage?.total_tokens],
    [prompt.length, 24, prompt.length + 24],
  );
  const result = await cluster.result(answer.id.replace('cmpl-', 'j'));
  assert.equal(result.text, expected);
});

test('choices: n of each prompt, in order, the first of each as it is alone; the same seed again is the same', async () => {
  const many = { ...asked, prompt: [prompt, 'It was'], n: 2, temperature: 1, seed: 7 };
  const [once, again] = await Promise.all([openai.completions.create(many), openai.completions.create(many)]);
  const texts = once.choices.map(({ text }) => text);
  assert.deepEqual(
    once.choices.map(({ index }) => index),
    [0, 1, 2, 3],
  );
  assert.deepEqual(
    again.choices.map(({ text }) => text),
    texts,
  );
  assert.notEqual(texts[0], texts[1]);
  const alone = await openai.completions.create({ ...many, prompt: 'It was', n: 1 });
  assert.equal(alone.choices[0]!.text, texts[2]);
});

test('echo, stop and logprobs', async () => {
  const echoed = await openai.completions.create({ ...asked, echo: true });
  assert.equal(echoed.choices[0]!.text, prompt + expected);
  const stop = expected.slice(10, 13);
  const stopped = await openai.completions.create({ ...asked, stop });
  assert.equal(stopped.choices[0]!.text, expected.slice(0, expected.indexOf(stop)));
  assert.equal(stopped.choices[0]!.finish_reason, 'stop');
  const { choices } = await openai.completions.create({ ...asked, logprobs: 2 });
  const { tokens, token_logprobs, top_logprobs, text_offset } = choices[0]!.logprobs!;
  assert.equal(tokens!.join(''), expected);
  assert.equal(text_offset!.at(-1), expected.length - tokens!.at(-1)!.length);
  // Greedy: each token is the likeliest, told by the same number.
  for (const [i, top] of top_logprobs!.entries()) {
    assert.equal(Object.keys(top).length, 2);
    assert.equal(token_logprobs![i], Math.max(...Object.values(top)));
    assert.equal(top[tokens![i]!], token_logprobs![i]);
  }
});

test('a stream gives the same text in pieces, its usage where it was asked for, and its end', async () => {
  const stream = await openai.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } });
  let text = '';
  let finish: string | null = null;
  let usage: OpenAI.CompletionUsage | null | undefined;
  let pieces = 0;
  for await (const chunk of stream) {
    pieces += 1;
    text += chunk.choices[0]?.text ?? '';
    finish ??= chunk.choices[0]?.finish_reason ?? null;
    usage = chunk.usage;
  }
  assert.equal(text, expected);
  assert.equal(finish, 'length');
  assert.ok(pieces > 12, `only ${pieces} pieces`);
  assert.equal(usage?.completion_tokens, 24);
});

test('what the API refuses is an error of the client, with status, code and param', async () => {
  await assert.rejects(openai.completions.create({ ...asked, model: 'gpt-4' }), {
    status: 404,
    code: 'model_not_found',
    param: 'model',
  });
  await assert.rejects(openai.completions.create({ ...asked, presence_penalty: 1 }), {
    status: 400,
    param: 'presence_penalty',
    type: 'invalid_request_error',
  });
  const stranger = new OpenAI({ baseURL: openai.baseURL, apiKey: 'sk-nothing', maxRetries: 0 });
  await assert.rejects(stranger.models.list(), { status: 401, code: 'invalid_api_key' });
});
