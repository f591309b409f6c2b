import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JobSpec, limits, Prompt } from '@longhaul/core/contracts';
import { createLedger } from '@longhaul/core/ledger';
import { z } from 'zod';
import { MemoryStore } from '../support/memory-store.ts';
import { greedySampling } from '../support/tasks.ts';

const base = {
  v: 1,
  jobId: 'job-of-a-spec',
  tenant: 'default',
  createdAt: '2026-01-01T00:00:00.000Z',
  model: 'tiny',
  document: { kind: 'inline', text: 'x' },
  compression: 'none',
  invalidUtf8: 'error',
  addBos: false,
  priority: 0,
};
const book = { name: 'book', version: null };
const generate = { kind: 'generate', prompt: 'so', maxNewTokens: 1, sampling: greedySampling, stop: [] };
const question = { id: null, prompt: 'why?', maxNewTokens: null };
const ask = {
  kind: 'ask',
  questions: { kind: 'inline', questions: [question] },
  maxNewTokens: 8,
  sampling: greedySampling,
  stop: [],
};
const tokens = (ids: unknown[]) => ({ kind: 'tokens', tokens: ids });
const chat = (...messages: unknown[]) => ({ messages });
const hi = chat({ role: 'system', content: '' }, { role: 'user', content: 'Hi' });
const asking = (change: object) => ({ ...ask, questions: { kind: 'inline', questions: [{ ...question, ...change }] } });

test('a spec of before, without from, saveAs and prefixCache, begins from nothing or what the cache has, and saves nothing', () => {
  const { from, saveAs, prefixCache } = JobSpec.parse({
    ...base,
    task: { kind: 'score', segmentTokens: 64, detail: 'segment' },
  });
  assert.deepEqual([from, saveAs, prefixCache], [null, null, true]);
});

test('each of the five tasks is accepted with what it needs', () => {
  const fine: object[] = [
    { task: { kind: 'ingest' }, saveAs: 'book' },
    { task: { kind: 'ingest' }, saveAs: 'copy', from: { name: 'book', version: 3 } },
    { task: { kind: 'append' }, from: book },
    { task: generate, document: null },
    { task: generate, document: null, addBos: true, saveAs: 'told' },
    { task: { ...generate, prompt: hi }, document: null },
    { task: { ...generate, prompt: hi } },
    { task: { ...generate, prompt: hi }, document: null, from: book },
    { task: ask, document: null },
    { task: asking({ prompt: hi }), document: null },
    { task: generate, document: null, saveAs: 'so' },
    { task: generate, document: tokens([0, 65_023]), compression: 'auto' },
    { task: generate, document: tokens(Array(32_768).fill(65_023)) },
    { task: generate, from: book, document: null },
    { task: generate, from: book, saveAs: 'told' },
    { task: { kind: 'score', segmentTokens: 64, detail: 'segment' }, from: book, saveAs: 'scored' },
    { task: ask, from: book, document: null },
    { task: ask, saveAs: 'book' },
    { task: { ...ask, questions: { kind: 'stored', key: 'inputs/a/b' } }, from: book, document: null },
  ];
  for (const change of fine) assert.ok(JobSpec.safeParse({ ...base, ...change }).success, JSON.stringify(change));
});

test('what contradicts itself, or is out of bounds, is refused with its place and what is wrong', async () => {
  const refused: [object, string, RegExp][] = [
    [{ task: generate, prefixCache: 'off' }, 'prefixCache', /expected boolean, received string/],
    [{ task: { kind: 'ingest' } }, 'saveAs', /an ingest saves its state: give a name/],
    [{ task: { kind: 'ingest' }, saveAs: 'Book' }, 'saveAs', /a state name is 1 to 63 of/],
    [{ task: { kind: 'ingest' }, saveAs: 'a..b' }, 'saveAs', /a state name has no \.\./],
    [{ task: { kind: 'ingest', depth: 1 }, saveAs: 'book' }, 'task', /Unrecognized key: "depth"/],
    [{ task: { kind: 'append' } }, 'from', /an append goes on from a named state/],
    [{ task: { kind: 'append' }, from: book, saveAs: 'book' }, 'saveAs', /an append saves under the name/],
    [{ task: generate, from: { name: '../x', version: null } }, 'from.name', /a state name is/],
    [{ task: generate, from: { name: 'book', version: 0 } }, 'from.version', />=1/],
    [{ task: generate, from: { name: 'book' } }, 'from.version', /expected number/],
    [{ task: generate, from: book, addBos: true }, 'addBos', /BOS is not put again/],
    [{ task: { ...generate, prompt: null }, document: null }, 'document', /a document, a prompt or a state to go on/],
    [{ task: { ...generate, prompt: '' }, document: null }, 'document', /there is nothing to read/],
    [{ task: { kind: 'score', segmentTokens: 64, detail: 'text' }, document: null }, 'document', /score reads a doc/],
    [{ task: { ...generate, prompt: chat() } }, 'task.prompt.messages', /a chat has at least one message/],
    [
      { task: { ...generate, prompt: chat(...Array(1025).fill({ role: 'user', content: '' })) } },
      'task.prompt.messages',
      /a chat has at most 1024 messages/,
    ],
    [
      { task: { ...generate, prompt: chat({ role: 'user', content: 'é'.repeat(98_305) }) } },
      'task.prompt.messages',
      /at most 196608 bytes as UTF-8/,
    ],
    [{ task: { ...generate, prompt: chat({ role: 'boss', content: '' }) } }, 'task.prompt.messages.0.role', /"tool"/],
    [{ task: { ...generate, prompt: chat({ role: 'user' }) } }, 'task.prompt.messages.0.content', /expected string/],
    [{ task: { ...generate, prompt: { ...hi, tools: [] } } }, 'task.prompt', /Unrecognized key: "tools"/],
    [
      { task: { ...generate, prompt: chat({ role: 'user', content: '', name: 'x' }) } },
      'task.prompt.messages.0',
      /Unrecognized key: "name"/,
    ],
    [{ task: { ...generate, prompt: 3 } }, 'task.prompt', /a prompt is text, or \{"messages"/],
    [{ task: { ...generate, prompt: 'x'.repeat(65_537) } }, 'task.prompt', /<=65536/],
    [{ task: asking({ prompt: chat() }) }, 'task.questions.questions.0.prompt.messages', /at least one message/],
    [{ task: asking({ prompt: null }) }, 'task.questions.questions.0.prompt', /a prompt is text, or/],
    [{ task: ask, document: null, saveAs: 'b' }, 'saveAs', /fork the one there is/],
    [{ task: { ...generate, prompt: null }, document: null, from: book }, 'task.prompt', /goes on from a prompt/],
    [{ task: { ...generate, prompt: '' }, document: null, from: book }, 'task.prompt', /goes on from a prompt/],
    [{ task: { kind: 'append' }, document: null, from: book }, 'document', /append reads a document/],
    [{ task: { kind: 'ingest' }, document: null, from: book, saveAs: 'b' }, 'document', /ingest reads a document/],
    [{ task: ask, document: null, from: book, saveAs: 'b' }, 'saveAs', /fork the one there is/],
    [{ task: { ...ask, topLogprobs: 1 } }, 'task.topLogprobs', /told with logprobs/],
    [{ task: { ...ask, maxNewTokens: limits.answerTokens + 1 } }, 'task.maxNewTokens', /<=16384/],
    [{ task: { ...ask, questions: { kind: 'inline', questions: [] } } }, 'task.questions.questions', /at least one/],
    [
      { task: { ...ask, questions: { kind: 'inline', questions: Array.from({ length: 257 }, () => question) } } },
      'task.questions.questions',
      /at most 256 questions travel inline; more are stored as JSONL/,
    ],
    [{ task: { ...ask, questions: { kind: 'stored', key: 'jobs/x' } } }, 'task.questions.key', /pattern/],
    [{ task: generate, document: tokens([]) }, 'document.tokens', /a document of tokens has at least one/],
    [{ task: generate, document: tokens(Array(32_769).fill(0)) }, 'document.tokens', /has at most 32768/],
    [{ task: generate, document: tokens([0, -1]) }, 'document.tokens.1', />=0/],
    [{ task: generate, document: tokens([2 ** 31]) }, 'document.tokens.0', /<=2147483647/],
    [{ task: generate, document: tokens([0.5]) }, 'document.tokens.0', /expected int/],
    [{ task: generate, document: tokens(['1']) }, 'document.tokens.0', /expected number/],
    [{ task: generate, document: { kind: 'tokens' } }, 'document.tokens', /expected array/],
    [{ task: generate, document: { ...tokens([1]), text: 'x' } }, 'document', /Unrecognized key: "text"/],
    [{ task: generate, document: tokens([1]), compression: 'gzip' }, 'compression', /not compressed.*found gzip/],
    [{ task: asking({ prompt: '' }) }, 'task.questions.questions.0.prompt', /at least one character/],
    [{ task: asking({ prompt: 'é'.repeat(32_769) }) }, 'task.questions.questions.0.prompt', /at most 65536 bytes/],
    [{ task: asking({ id: '' }) }, 'task.questions.questions.0.id', />=1/],
    [{ task: asking({ id: 'x'.repeat(257) }) }, 'task.questions.questions.0.id', /<=256/],
    [{ task: asking({ maxNewTokens: 0 }) }, 'task.questions.questions.0.maxNewTokens', />=1/],
  ];
  const ledger = createLedger(new MemoryStore());
  for (const [change, path, message] of refused) {
    const spec = { ...base, ...change } as unknown as JobSpec;
    await assert.rejects(ledger.submit(spec), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'invalid_spec', JSON.stringify(change));
      assert.match(error.message, message);
      assert.ok(error.message.startsWith(`job spec: ${path}: `), `${error.message} does not name ${path}`);
      return true;
    });
  }
});

test('what a prompt may be is said by a JSON schema, as every other field', () => {
  const { anyOf } = z.toJSONSchema(Prompt);
  assert.deepEqual(anyOf?.[0], { type: 'string', maxLength: limits.inlineBytes });
  assert.deepEqual(anyOf?.[1]?.required, ['messages']);
});
