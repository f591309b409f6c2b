import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createBatches } from '@longhaul/core/batches';
import { webhookSecret } from '@longhaul/core/webhooks';
import OpenAI, { toFile } from 'openai';
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

test('chat: the model reads its own template, whole or streamed, with log-probabilities where they are asked for', async () => {
  const messages = [
    { role: 'system', content: 'Be brief.' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'Who is ' },
        { type: 'text', text: 'Ishmael?' },
      ],
    },
  ] as const;
  const chat = { model: 'test', messages: [...messages] as never, max_completion_tokens: 16, temperature: 0 };
  const template = (role: string, text: string) => `<|im_start|>${role}\n${text}<|im_end|>\n`;
  const text = `${template('system', 'Be brief.')}${template('user', 'Who is Ishmael?')}<|im_start|>assistant\n`;
  const [whole, plain] = await Promise.all([
    openai.chat.completions.create({ ...chat, logprobs: true, top_logprobs: 2 }),
    openai.completions.create({ ...asked, prompt: text, max_tokens: 16 }),
  ]);
  const [{ message, logprobs, finish_reason }] = whole.choices as [OpenAI.ChatCompletion.Choice];
  assert.equal(message.role, 'assistant');
  assert.equal(message.content, plain.choices[0]!.text);
  assert.equal(finish_reason, plain.choices[0]!.finish_reason);
  assert.equal(logprobs!.content!.map(({ token }) => token).join(''), message.content);
  for (const { logprob, top_logprobs } of logprobs!.content!) assert.equal(top_logprobs[0]!.logprob, logprob);
  const stream = openai.chat.completions.stream({ ...chat, stream_options: { include_usage: true } });
  const streamed = await stream.finalChatCompletion();
  assert.equal(streamed.choices[0]!.message.content, message.content);
  assert.deepEqual(streamed.usage, whole.usage);
});

test('files are uploaded, listed, read and deleted', async () => {
  const content = `${JSON.stringify({ custom_id: 'a', method: 'POST', url: '/v1/completions', body: asked })}\n`;
  for (const order of ['file first', 'purpose first']) {
    const file = await toFile(Buffer.from(content), 'lines.jsonl');
    const made = await openai.files.create(
      order === 'file first' ? { file, purpose: 'batch' } : { purpose: 'batch', file },
    );
    assert.deepEqual([made.filename, made.bytes, made.purpose], ['lines.jsonl', content.length, 'batch']);
    assert.equal(await (await openai.files.content(made.id)).text(), content);
    assert.deepEqual(await openai.files.retrieve(made.id), made);
    const listed = [];
    for await (const one of openai.files.list({ purpose: 'batch' })) listed.push(one.id);
    assert.deepEqual(listed, [made.id]);
    assert.equal((await openai.files.delete(made.id)).deleted, true);
    await assert.rejects(openai.files.retrieve(made.id), { status: 404, code: 'file_not_found' });
  }
});

test('an uploaded file is a document, and a batch is made, listed and cancelled', async () => {
  const book = await openai.files.create({ file: await toFile(Buffer.from(prompt), 'book.txt'), purpose: 'user_data' });
  const { max_tokens, temperature } = asked;
  const ours = { model: 'test', max_tokens, temperature, input_ref: book.id };
  const read = await openai.post<OpenAI.Completion>('/completions', { body: ours });
  assert.equal(read.choices[0]!.text, expected);
  const lines = `${JSON.stringify({ custom_id: 'a', method: 'POST', url: '/v1/completions', body: asked })}\n`;
  const file = await openai.files.create({ file: await toFile(Buffer.from(lines), 'lines.jsonl'), purpose: 'batch' });
  const made = await openai.batches.create({
    input_file_id: file.id,
    endpoint: '/v1/completions',
    completion_window: '24h',
    metadata: { of: 'a test' },
  });
  assert.deepEqual([made.status, made.object, made.metadata], ['validating', 'batch', { of: 'a test' }]);
  const listed = [];
  for await (const one of openai.batches.list()) listed.push(one.id);
  assert.deepEqual(listed, [made.id]);
  assert.equal((await openai.batches.cancel(made.id)).status, 'cancelling');
  assert.equal((await openai.batches.retrieve(made.id)).status, 'cancelling');
  await assert.rejects(openai.batches.retrieve('batch_nothing'), { status: 404, code: 'batch_not_found' });
});

test("a batch is told of at an https address, signed with the tenant's own key", async () => {
  const file = await openai.files.create({ file: await toFile(Buffer.from('{}\n'), 'x.jsonl'), purpose: 'batch' });
  const body = { input_file_id: file.id, endpoint: '/v1/completions', completion_window: '24h' };
  const headers = { 'idempotency-key': 'told-of' };
  const webhook_url = 'https://hooks.example/told';
  const made = await openai.post<OpenAI.Batch>('/batches', { body: { ...body, webhook_url }, headers });
  const { spec } = await createBatches(cluster.store).get('acme', made.id);
  assert.equal(spec.webhook, webhook_url);
  await assert.rejects(openai.post('/batches', { body, headers }), { status: 422, code: 'idempotency_key_reused' });

  const secretOf = async (client: OpenAI) => (await client.get<{ secret: string }>('/webhook_secret')).secret;
  const secret = await secretOf(openai);
  assert.equal(secret, await webhookSecret(cluster.store, 'acme'));
  assert.equal(await secretOf(openai), secret);
  const apiKey = await keyFor(cluster.store, 'another');
  assert.notEqual(await secretOf(new OpenAI({ baseURL: openai.baseURL, apiKey })), secret);
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
