import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ChatMessage, loadTokenizer } from '@longhaul/worker/text';
import { falconDir, noFalcon, streamTokens } from '../support/text-documents.ts';

interface EncodeCase {
  readonly name: string;
  readonly text: string;
  readonly ids: number[];
  readonly decoded?: string;
  readonly decoded_skip_special?: string;
}
interface DecodeCase {
  readonly name: string;
  readonly ids: number[];
  readonly text: string;
  readonly text_skip_special?: string;
}
interface ChatCase {
  readonly name: string;
  readonly messages: ChatMessage[];
  readonly add_generation_prompt: boolean;
  readonly text: string;
  readonly ids: number[];
}

const json = (file: string) => JSON.parse(readFileSync(join(falconDir, file), 'utf8'));
const cases = noFalcon ? null : json('cases.json');

for (const model of ['base', 'instruct'] as const) {
  test(`Falcon ${model}: every stored text gives its tokens, whole and as a stream`, { skip: noFalcon }, async () => {
    const tokenizer = await loadTokenizer(join(falconDir, model));
    assert.equal(tokenizer.vocabSize, 65_024);
    const stored = cases[model] as EncodeCase[];
    assert.ok(stored.length >= 150);
    for (const { name, text, ids } of stored) {
      assert.deepEqual(Array.from(await tokenizer.encode(text)), ids, `${name}, whole`);
      for (const chunk of [1, 5, 65_536]) {
        assert.deepEqual(await streamTokens(tokenizer, Buffer.from(text), [chunk]), ids, `${name}, chunks of ${chunk}`);
      }
    }
  });

  test(`Falcon ${model}: the tokens of every stored text give it back`, { skip: noFalcon }, async () => {
    const tokenizer = await loadTokenizer(join(falconDir, model));
    for (const { name, text, ids, decoded, decoded_skip_special } of cases[model] as EncodeCase[]) {
      const expected = decoded_skip_special ?? decoded ?? text;
      assert.equal(tokenizer.decode(Int32Array.from(ids)), expected, name);
      const decoder = tokenizer.decoder();
      const parts = ids.map((id) => decoder.push(id));
      assert.equal(parts.join('') + decoder.flush(), expected, `${name}, token by token`);
    }
  });
}

test('Falcon: token sequences that cut characters decode as stored', { skip: noFalcon }, async () => {
  const tokenizer = await loadTokenizer(join(falconDir, 'base'));
  assert.ok(cases.decode.length >= 80);
  for (const { name, ids, text, text_skip_special } of cases.decode as DecodeCase[]) {
    const expected = text_skip_special ?? text;
    assert.equal(tokenizer.decode(Int32Array.from(ids)), expected, name);
    const decoder = tokenizer.decoder();
    assert.equal(ids.map((id) => decoder.push(id)).join('') + decoder.flush(), expected, `${name}, token by token`);
  }
});

test("Falcon instruct: chats are rendered by the model's own template", { skip: noFalcon }, async () => {
  const tokenizer = await loadTokenizer(join(falconDir, 'instruct'));
  const { chats } = json('chat.json') as { chats: ChatCase[] };
  assert.ok(chats.length >= 20);
  for (const { name, messages, add_generation_prompt, text, ids } of chats) {
    const options = { addGenerationPrompt: add_generation_prompt, at: new Date(0) };
    assert.equal(tokenizer.renderChat(messages, options), text, name);
    assert.deepEqual(Array.from(await tokenizer.encode(text)), ids, name);
  }
});
