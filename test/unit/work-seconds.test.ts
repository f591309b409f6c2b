import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AskTask, GenerateTask, ScoreTask } from '@longhaul/core/contracts';
import { expectedSeconds, takenSeconds } from '../../core/queue/work-seconds.ts';
import { greedySampling, scoreTask } from '../support/tasks.ts';

const drawn = { maxNewTokens: 10, sampling: greedySampling, stop: [], topLogprobs: 0 };
const generate: GenerateTask = { kind: 'generate', prompt: null, ...drawn };
const ask: AskTask = {
  kind: 'ask',
  questions: { kind: 'inline', questions: [{ id: null, prompt: 'x'.repeat(40), maxNewTokens: 20 }] },
  logprobs: false,
  ...drawn,
};
const score: ScoreTask = { ...scoreTask, detail: 'text' };
const tokens = (count: number) => ({ kind: 'tokens' as const, tokens: Array<number>(count).fill(1) });
const inline = (count: number) => ({ kind: 'inline' as const, text: 'x'.repeat(count) });

test('a job is expected to take what it takes where its tokens are known: its document of ids, its prompt, its answers', () => {
  const same = (spec: Parameters<typeof expectedSeconds>[0], inputTokens: number, outputTokens: number) =>
    assert.equal(expectedSeconds(spec, null).toFixed(9), takenSeconds({ inputTokens, outputTokens }).toFixed(9));
  same({ task: score, document: tokens(1000) }, 1000, 0);
  same({ task: generate, document: inline(400) }, 100, 10);
  same({ task: { ...generate, prompt: 'x'.repeat(40) }, document: inline(400) }, 110, 10);
  const chat = { messages: [{ role: 'user' as const, content: 'x'.repeat(80) }] };
  same({ task: { ...generate, prompt: chat }, document: null }, 20, 10);
  same({ task: ask, document: tokens(7) }, 17, 20);
});

test('a document of unknown size is taken for a long one', () => {
  const document = { kind: 'https' as const, url: 'https://example.org/book.txt' };
  assert.ok(expectedSeconds({ task: score, document }, null) > expectedSeconds({ task: score, document }, 1_000_000));
});
