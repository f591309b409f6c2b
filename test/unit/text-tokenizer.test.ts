import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { LonghaulError } from '@longhaul/core/contracts';
import { loadTokenizer } from '@longhaul/worker/text';
import { loadSmall, type SmallTokenizer, splits, tokenizerJson } from '../support/small-bpe.ts';
import { repositoryRoot } from '../support/text-documents.ts';

const small: SmallTokenizer = {
  merges: [
    ['a', 'b'],
    ['ab', 'c'],
  ],
  pre: splits.gpt2,
  added: ['<|end|>'],
};
const failure = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof LonghaulError && error.code === code && message.test(error.message);
const tinyEnglish = join(repositoryRoot, 'models/tiny-english');

async function folder(t: TestContext) {
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-tokenizer-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

test('what is not proven to stream is refused by name', async () => {
  const json = tokenizerJson(small) as { model: object };
  const model = (more: object) => ({ model: { ...json.model, ...more } });
  const token = {
    id: 258,
    content: '<x>',
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  };
  const sequence = (...pretokenizers: object[]) => ({ pre_tokenizer: { type: 'Sequence', pretokenizers } });
  const triples = { type: 'Split', pattern: { Regex: '[0-9]{1,3}' }, behavior: 'Isolated', invert: false };
  const cases: [string, object, RegExp][] = [
    ['a normalizer', { normalizer: { type: 'NFC' } }, /normalizer NFC/],
    [
      'Metaspace',
      { pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' } },
      /pre-tokenizer Metaspace/,
    ],
    [
      'a prefix space',
      { pre_tokenizer: { ...splits.gpt2, add_prefix_space: true } },
      /pre-tokenizer ByteLevel .*"add_prefix_space":true/,
    ],
    [
      'no pattern',
      { pre_tokenizer: { ...splits.gpt2, use_regex: false } },
      /pre-tokenizer ByteLevel .*"use_regex":false/,
    ],
    ['another split', sequence(splits.gpt2, triples), /pre-tokenizer Split .*1,3/],
    ['digits one by one', sequence(splits.gpt2, { type: 'Digits', individual_digits: true }), /pre-tokenizer Digits/],
    ['another order', sequence({ type: 'Digits', individual_digits: false }, splits.gpt2), /pre-tokenizer Digits/],
    ['none', { pre_tokenizer: null }, /pre-tokenizer none/],
    ['ignore_merges', model({ ignore_merges: true }), /ignore_merges = true/],
    ['byte_fallback', model({ byte_fallback: true }), /byte_fallback = true/],
    ['dropout', model({ dropout: 0.1 }), /dropout = 0.1/],
    ['an unknown token', model({ unk_token: 'a' }), /unk_token = a/],
    ['WordPiece', { model: { type: 'WordPiece', vocab: { a: 0 } } }, /model WordPiece/],
    ['a stripping token', { added_tokens: [{ ...token, rstrip: true }] }, /"<x>" with rstrip/],
    ['a single-word token', { added_tokens: [{ ...token, single_word: true }] }, /"<x>" with single_word/],
    ['another decoder', { decoder: { type: 'WordPiece', prefix: '##', cleanup: true } }, /decoder WordPiece/],
  ];
  for (const [name, more, message] of cases) {
    await assert.rejects(
      loadSmall({ ...small, more: more as Record<string, unknown> }),
      failure('tokenizer_unsupported', message),
      name,
    );
  }
});

test('a folder without a tokenizer, and files that are none', async (t) => {
  const dir = await folder(t);
  await assert.rejects(loadTokenizer(dir), failure('tokenizer_not_found', /tokenizer\.json does not exist/));
  const json = tokenizerJson(small) as { model: { vocab: object } };
  const cases: [string, RegExp][] = [
    ['{', /not JSON/],
    ['{}', /model/],
    [JSON.stringify({ ...json, model: { ...json.model, vocab: { a: 'x' } } }), /vocab/],
    [JSON.stringify({ ...json, model: { ...json.model, merges: ['a'] } }), /merge "a" is not two parts/],
    [
      JSON.stringify({ ...json, model: { ...json.model, merges: ['a b', 'a zz'] } }),
      /refused by the tokenizers library/,
    ],
    [
      JSON.stringify({
        ...json,
        added_tokens: [
          {
            id: 9999,
            content: '<x>',
            special: true,
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
          },
        ],
      }),
      /"<x>" has id 9999 in the file, 258/,
    ],
  ];
  for (const [text, message] of cases) {
    await writeFile(join(dir, 'tokenizer.json'), text);
    await assert.rejects(loadTokenizer(dir), failure('tokenizer_corrupt', message), text.slice(0, 80));
  }
});

test('the digest covers both files', async (t) => {
  const dir = await folder(t);
  const files = ['tokenizer.json', 'tokenizer_config.json'];
  for (const file of files) await copyFile(join(tinyEnglish, file), join(dir, file));
  const hash = createHash('sha256');
  for (const file of files) hash.update(await readFile(join(dir, file)));
  const digest = hash.digest('hex');
  assert.equal((await loadTokenizer(dir)).digest, digest);
  await writeFile(join(dir, 'tokenizer_config.json'), '{"chat_template": "x"}');
  assert.notEqual((await loadTokenizer(dir)).digest, digest);
});

test('a length limit in the file does not cut prompts', async () => {
  const truncation = { direction: 'Right', max_length: 3, strategy: 'LongestFirst', stride: 0 };
  const tokenizer = await loadSmall({ ...small, more: { truncation } });
  assert.equal((await tokenizer.encode('z'.repeat(50))).length, 50);
});

test('tiny-english: a token is a byte', async () => {
  const tokenizer = await loadTokenizer(tinyEnglish);
  const text = 'Zoë said “hello” to 日本 😀\n<|im_end|>';
  const tokens = await tokenizer.encode(text);
  assert.deepEqual(Array.from(tokens), [...Buffer.from(text.slice(0, -10)), 258]);
  assert.equal(tokenizer.vocabSize, 260);
  // Special tokens and ids without a token add nothing.
  assert.equal(tokenizer.decode(Int32Array.of(...tokens, 256, 287, -1, 65)), `${text.slice(0, -10)}A`);
});

test('text is given out as soon as its characters are complete', async () => {
  const decoder = (await loadTokenizer(tinyEnglish)).decoder();
  const push = (...bytes: number[]) => bytes.map((byte) => decoder.push(byte));
  assert.deepEqual(push(0x41, 0xc3, 0xa9, 0xf0, 0x9f, 0x98, 0x80), ['A', '', 'é', '', '', '', '😀']);
  // A special token between the bytes of a character is not there.
  assert.deepEqual(push(0xe2, 256, 0x82, 0xac), ['', '', '', '€']);
  // A beginning that cannot go on is replaced once that shows; the end replaces what is incomplete.
  assert.deepEqual(push(0xe2, 0x82, 0x41, 0xff, 0xe2, 0x82), ['', '', '\ufffdA', '\ufffd', '', '']);
  assert.equal(decoder.flush(), '\ufffd');
  assert.equal(decoder.flush(), '');
});

test("chat messages are rendered by the model's own template, wherever it stands", async (t) => {
  const messages = [{ role: 'user', content: 'Hi' }];
  const options = { addGenerationPrompt: true, at: new Date('2026-03-04T17:06:07Z') };
  const tiny = await loadTokenizer(tinyEnglish);
  assert.equal(tiny.renderChat(messages, options), '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n');

  const none = await loadSmall(small);
  assert.throws(() => none.renderChat(messages, options), failure('tokenizer_unsupported', /has no chat template/));

  const body = "{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}{{ eos_token }}";
  const tokens = { bos_token: '<s>', eos_token: { content: '</s>', lstrip: false } };
  const listed = [
    { name: 'tool_use', template: 'no' },
    { name: 'default', template: body },
  ];
  for (const chat_template of [body, listed]) {
    const tokenizer = await loadSmall({ ...small, config: { ...tokens, chat_template } });
    assert.equal(tokenizer.renderChat(messages, options), '<s>Hi</s>');
  }
  const strict = await loadSmall({ ...small, config: { chat_template: "{{ raise_exception('no system role') }}" } });
  assert.throws(() => strict.renderChat(messages, options), failure('invalid_argument', /refuses these messages/));
  await assert.rejects(
    loadSmall({ ...small, config: { chat_template: '{% if %}' } }),
    failure('tokenizer_corrupt', /does not parse/),
  );

  const dir = await folder(t);
  await writeFile(join(dir, 'tokenizer.json'), JSON.stringify(tokenizerJson(small)));
  await writeFile(join(dir, 'tokenizer_config.json'), JSON.stringify({ ...tokens, chat_template: 'config' }));
  await writeFile(join(dir, 'chat_template.jinja'), `${body}!`);
  const beside = await loadTokenizer(dir);
  assert.equal(beside.renderChat(messages, options), '<s>Hi</s>!');
  await writeFile(join(dir, 'chat_template.jinja'), `${body}?`);
  assert.notEqual((await loadTokenizer(dir)).digest, beside.digest, 'the template decides tokens');
});

test('a template that tells the date tells that of the job, in UTC', async () => {
  const format = '%Y-%m-%d %y %H:%M:%S %I %p %A %a %B %b 100%%';
  const dated = (text: string) => loadSmall({ ...small, config: { chat_template: `{{ strftime_now('${text}') }}` } });
  const at = (when: string) => ({ addGenerationPrompt: true, at: new Date(when) });
  const tokenizer = await dated(format);
  const afternoon = '2026-03-04 26 17:06:07 05 PM Wednesday Wed March Mar 100%';
  assert.equal(tokenizer.renderChat([], at('2026-03-04T17:06:07Z')), afternoon);
  const midnight = '1999-12-31 99 00:00:00 12 AM Friday Fri December Dec 100%';
  assert.equal(tokenizer.renderChat([], at('1999-12-31T00:00:00Z')), midnight);
  const lines = await loadSmall({
    ...small,
    config: { chat_template: "\n  {% if true %}\n{{ strftime_now('%d') }}\n{% endif %}\nx" },
  });
  assert.equal(lines.renderChat([], at('2026-03-04T17:06:07Z')), '\n04\nx', 'blocks and lines are cut as ever');
  const unknown = await dated('%Q');
  assert.throws(() => unknown.renderChat([], at('2026-03-04T17:06:07Z')), failure('invalid_argument', /refuses these/));
});
