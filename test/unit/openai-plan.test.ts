import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidBody, planChat, planCompletion } from '@longhaul/core/openai';

const context = { tenant: 'acme', seed: 7n, sources: null };
const completion = { model: 'tiny-english', prompt: 'Call me' };
const chat = { model: 'tiny-english', messages: [{ role: 'user', content: 'Hello' }] };

/** `field path`, a body that it is wrong in, and words of the complaint. */
const wrong: readonly [string | null, object, RegExp][] = [
  ['model', { model: '' }, /./],
  ['model', { model: 'a/b' }, /./],
  ['n', { n: 0 }, />=1/],
  ['n', { n: 129 }, /128/],
  ['temperature', { temperature: -1 }, /./],
  ['temperature', { temperature: 'hot' }, /number/],
  ['top_p', { top_p: 0 }, />0/],
  ['stop', { stop: '' }, /./],
  ['stop', { stop: Array(17).fill('x') }, /16/],
  ['seed', { seed: -1 }, /./],
  ['seed', { seed: '18446744073709551616' }, /./],
  ['logit_bias.x', { logit_bias: { x: 1 } }, /./],
  ['logit_bias.1', { logit_bias: { 1: 101 } }, /100/],
  ['stream', { stream: 'yes' }, /boolean/],
  ['stream_options.x', { stream_options: { x: 1 } }, /no such field/],
  ['presence_penalty', { presence_penalty: 1 }, /only 0/],
  ['frequency_penalty', { frequency_penalty: 1 }, /only 0/],
  ['user', { user: 1 }, /string/],
  ['metadata.a', { metadata: { a: 1 } }, /string/],
  ['store', { store: 1 }, /boolean/],
  ['input_ref', { input_ref: 'ftp://x/y' }, /file-/],
  ['input_ref', { input_ref: 'https://' }, /file-/],
  ['input_ref', { input_ref: 's3://UPPER/key' }, /file-/],
  ['from', { from: 'state://other/book' }, /tenant acme/],
  ['save_as', { save_as: '../up' }, /state name/],
  ['save_as', { save_as: 'book', n: 2 }, /one state/],
  ['compression', { compression: 'rar' }, /./],
  ['invalid_utf8', { invalid_utf8: 'skip' }, /./],
  ['add_bos', { add_bos: 1 }, /boolean/],
  ['prefix_cache', { prefix_cache: 'no' }, /boolean/],
  ['top_k', { top_k: 0 }, />=1/],
  ['min_p', { min_p: 2 }, /<=1/],
  ['repetition_penalty', { repetition_penalty: 0 }, />0/],
  ['tools', { tools: [] }, /no such field/],
];
const wrongCompletion: typeof wrong = [
  ['prompt', { prompt: null }, /nothing to read/],
  ['prompt', { prompt: 3 }, /./],
  ['prompt', { prompt: 'x'.repeat(65_537), from: 'book' }, /65536/],
  ['max_tokens', { max_tokens: 0 }, /at least 1/],
  ['max_tokens', { max_tokens: 1_000_001 }, /1000000/],
  ['echo', { echo: 'yes' }, /boolean/],
  ['logprobs', { logprobs: 21 }, /20/],
  ['best_of', { best_of: 3 }, /only 1/],
  ['suffix', { suffix: 'end' }, /filled in/],
  ['n', { prompt: Array(65).fill('x'), n: 2 }, /128 choices; found 130/],
];
const wrongChat: typeof wrong = [
  ['messages', { messages: [] }, /./],
  ['messages.0.role', { messages: [{ role: 'tool', content: '' }] }, /./],
  ['messages.0.content', { messages: [{ role: 'user' }] }, /./],
  [
    'messages.0.content.0.type',
    { messages: [{ role: 'user', content: [{ type: 'image_url', text: '' }] }] },
    /only text/,
  ],
  ['max_tokens', { max_tokens: 0 }, /./],
  ['max_completion_tokens', { max_completion_tokens: 0 }, /./],
  ['logprobs', { logprobs: 3 }, /boolean/],
  ['top_logprobs', { top_logprobs: 3 }, /needs|told with logprobs/],
  ['response_format.type', { response_format: { type: 'json_object' } }, /only text/],
];

for (const [plan, base, cases] of [
  [planCompletion, completion, [...wrong, ...wrongCompletion]],
  [planChat, chat, [...wrong, ...wrongChat]],
] as const) {
  for (const [param, change, words] of cases) {
    test(`${plan.name}: ${JSON.stringify(change).slice(0, 60)} is refused, naming ${param}`, () => {
      assert.throws(
        () => plan({ ...base, ...change }, context),
        (error: unknown) => {
          assert.ok(error instanceof InvalidBody, String(error));
          assert.equal(error.param, param);
          assert.match(error.message, words);
          return true;
        },
      );
    });
  }
}

test('a prompt alone is the document; behind a document or a state it is what follows', () => {
  const alone = planCompletion(completion, context).choices[0]!;
  assert.deepEqual(alone.document, { kind: 'source', source: { kind: 'inline', text: 'Call me' } });
  assert.equal(alone.request.task.kind === 'generate' && alone.request.task.prompt, null);
  const from = planCompletion({ ...completion, from: 'book@3' }, context).choices[0]!;
  assert.deepEqual(from.document, { kind: 'none' });
  assert.deepEqual(from.request.from, { name: 'book', version: 3 });
  assert.equal(from.request.task.kind === 'generate' && from.request.task.prompt, 'Call me');
  const file = `file-${'0'.repeat(26)}`;
  const read = planCompletion({ ...completion, input_ref: file }, context).choices[0]!;
  assert.deepEqual(read.document, { kind: 'source', source: { kind: 'stored', key: `inputs/files/acme/${file}` } });
});

test('a prompt beyond what travels in a spec is a text to be stored', () => {
  const text = 'é'.repeat(40_000);
  assert.deepEqual(planCompletion({ ...completion, prompt: text }, context).choices[0]!.document, {
    kind: 'text',
    text,
  });
});

test('choices stand prompt by prompt, each with a seed of its own', () => {
  const plan = planCompletion({ ...completion, prompt: ['a', 'b'], n: 2, seed: 1 }, context);
  const seen = plan.choices.map(({ request: { task }, document }) => [
    document.kind === 'source' && document.source.kind === 'inline' && document.source.text,
    task.kind === 'generate' && task.sampling.seed,
  ]);
  const second = String(1n + 0x9e3779b97f4a7c15n);
  assert.deepEqual(seen, [
    ['a', '1'],
    ['a', second],
    ['b', '1'],
    ['b', second],
  ]);
});
