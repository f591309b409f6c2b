import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GenerateTask } from '@longhaul/core/contracts';
import { committedProgress, estimate, jobView } from '@longhaul/producer';
import { bytes, count, duration, percent } from '../../producer/render/format.ts';
import { jobTable, jobText } from '../../producer/render/job.ts';
import { headOf, progressOf, resultOf, specOf } from '../support/producer-fakes.ts';

test('the read phase is measured in bytes at the bytes a token seen so far', () => {
  const progress = progressOf({ tokens: 1000, bytes: 4000, totalBytes: 40_000, tokensPerSecond: 500 });
  assert.deepEqual(estimate(progress, specOf()), { fraction: 0.1, etaSeconds: 18 });
});

test('tokens that came with a state say nothing of the document behind it', () => {
  const progress = progressOf({ tokens: 1_001_000, cachedTokens: 1_000_000, bytes: 4000, totalBytes: 40_000 });
  assert.deepEqual(estimate({ ...progress, tokensPerSecond: 500 }, specOf()), { fraction: 0.1, etaSeconds: 18 });
});

test('a beginning that came from the prefix cache says nothing of the speed, but is read', () => {
  const read = { tokens: 10_000, cachedTokens: 9000, bytes: 40_000, cachedBytes: 36_000, totalBytes: 76_000 };
  const progress = progressOf({ ...read, tokensPerSecond: 500 });
  assert.deepEqual(estimate(progress, specOf()), { fraction: 40 / 76, etaSeconds: 18 });
});

test('answers are counted against the questions that the spec tells', () => {
  const { sampling, stop } = specOf().task as GenerateTask;
  const questions = Array.from({ length: 4 }, () => ({ id: null, prompt: 'why?', maxNewTokens: null }));
  const asked = { kind: 'ask', maxNewTokens: 8, sampling, stop, logprobs: false, topLogprobs: 0 } as const;
  const progress = progressOf({ phase: 'generate', outputTokens: 1, tokensPerSecond: 10 });
  const inline = { ...specOf(), task: { ...asked, questions: { kind: 'inline', questions } } } as const;
  assert.deepEqual(estimate(progress, inline), { fraction: 0.25, etaSeconds: null });
  const stored = { ...specOf(), task: { ...asked, questions: { kind: 'stored', key: 'inputs/q' } } } as const;
  assert.deepEqual(estimate(progress, stored), { fraction: null, etaSeconds: null });
});

test('what cannot be known is null, never a number', () => {
  assert.deepEqual(estimate(progressOf(), specOf()), { fraction: null, etaSeconds: null });
  const still = progressOf({ bytes: 0, totalBytes: 100 });
  assert.deepEqual(estimate(still, specOf()), { fraction: 0, etaSeconds: null });
  assert.deepEqual(estimate(progressOf({ totalBytes: 0 }), specOf()), { fraction: 1, etaSeconds: 0 });
});

test('bytes past the size that was told do not make it negative', () => {
  const progress = progressOf({ tokens: 10, bytes: 120, totalBytes: 100, tokensPerSecond: 1 });
  assert.deepEqual(estimate(progress, specOf()), { fraction: 1, etaSeconds: 0 });
});

test('the generate phase is bounded by the tokens that may still come', () => {
  const progress = progressOf({ phase: 'generate', outputTokens: 25, tokensPerSecond: 10 });
  assert.deepEqual(estimate(progress, specOf()), { fraction: 0.25, etaSeconds: 7.5 });
});

test('a view tells the ledger, and the live figures only while they are of this epoch and fresh', () => {
  const head = headOf({ seq: 2, epoch: 3 }, { tokenOffset: 2048, inputByteOffset: 8000 });
  const now = new Date('2026-01-01T00:00:15Z');
  const parts = { spec: specOf(), head, result: null, cancelRequested: false };
  const progress = progressOf({ epoch: 3, tokens: 3000, bytes: 12_000, totalBytes: 24_000, tokensPerSecond: 100 });
  const view = jobView({ ...parts, progress }, now);
  assert.deepEqual(
    [view.tokens, view.committedTokens, view.fraction, view.etaSeconds, view.lastCommitSeconds],
    [3000, 2048, 0.5, 30, 5],
  );
  const older = jobView({ ...parts, progress: { ...progress, epoch: 2 } }, now);
  assert.deepEqual([older.tokens, older.tokensPerSecond], [2048, null]);
  const stale = jobView({ ...parts, progress }, new Date('2026-01-01T00:10:00Z'));
  assert.deepEqual([stale.tokensPerSecond, stale.etaSeconds], [null, null]);
  assert.equal(jobView({ ...parts, head: null, progress: null }, now).status, 'queued');
  assert.equal(jobView({ ...parts, result: resultOf('failed', 0), progress: null }, now).status, 'quarantined');
  assert.equal(committedProgress(head).tokens, 2048);
});

test('figures are written for people', () => {
  assert.deepEqual([0, 59.6, 125, 11_220, 190_000, null].map(duration), [
    '0s',
    '1m 00s',
    '2m 05s',
    '3h 07m',
    '2d 04h',
    '?',
  ]);
  assert.deepEqual([0, 1023, 1536, 3 * 2 ** 30].map(bytes), ['0 B', '1023 B', '1.5 KiB', '3.0 GiB']);
  assert.deepEqual([count(1_234_567.4), percent(0.1234), percent(null)], ['1,234,567', '12.3%', '?']);
  const view = jobView({ spec: specOf(), head: null, result: null, progress: null, cancelRequested: true }, new Date());
  assert.match(jobText(view), /^status {5}queued \(cancel requested\)$/m);
  const [head, row] = jobTable([view]).split('\n');
  assert.equal(head?.indexOf('STATUS'), row?.indexOf('queued, cancel'));
});
