import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Position, ScoreRecord, ScoreTotals } from '@longhaul/core/contracts';
import fc from 'fast-check';
import type { InputChunk } from '../../worker/tasks/input.ts';
import { ScoreLines } from '../../worker/tasks/score.ts';

const start: Position = {
  tokenOffset: 0,
  inputByteOffset: 0,
  textCursor: null,
  inputTokens: null,
  outputCount: 0,
  nextToken: null,
};

/** Feeds `logprobs` (the last is NaN) in chunks on a grid, re-creating the lines from their totals at each cut. */
function lines(
  logprobs: readonly number[],
  chunk: number,
  lineTokens: number,
  detail: 'segment' | 'token',
  resume: boolean,
  topLogprobs = 0,
) {
  const task = { detail, topLogprobs };
  const records: ScoreRecord[] = [];
  let score: ScoreTotals | null = null;
  let at = 0;
  let state = new ScoreLines(lineTokens, task, null, start);
  while (at < logprobs.length) {
    const part = Float32Array.from(logprobs.slice(at, at + chunk));
    const end = at + part.length;
    const next = end < logprobs.length ? 1 : null;
    const position = { ...start, tokenOffset: end };
    const given: InputChunk = { tokens: new Int32Array(part.length), start: at, next, position };
    // The likeliest tokens of position t are t, t + 1, …, the last of them missing.
    const entries = Array.from({ length: part.length * topLogprobs }, (_, i) => [
      i % topLogprobs === topLogprobs - 1 ? -1 : at + Math.floor(i / topLogprobs) + (i % topLogprobs),
      -(i % topLogprobs),
    ]);
    const top = {
      ids: Int32Array.from(entries, ([id]) => id!),
      logprobs: Float32Array.from(entries, ([, logprob]) => logprob!),
    };
    records.push(...state.take(given, part, top));
    at = end;
    if (resume && next !== null) {
      score = JSON.parse(JSON.stringify(state.totals)) as ScoreTotals;
      state = new ScoreLines(lineTokens, task, score, { ...position, outputCount: state.written });
    }
  }
  records.push(...state.finish());
  return { records, totals: state.totals, written: state.written };
}

test('lines and totals are the same whatever the chunks, and after a resume at every chunk', () => {
  fc.assert(
    fc.property(
      fc.array(fc.float({ min: -20, max: 0, noNaN: true }), { maxLength: 300 }),
      fc.constantFrom(16, 32, 64),
      (scored, chunk) => {
        const logprobs = [...scored, Number.NaN];
        const whole = lines(logprobs, logprobs.length, 64, 'segment', false);
        assert.deepEqual(lines(logprobs, chunk, 64, 'segment', false), whole);
        assert.deepEqual(lines(logprobs, chunk, 64, 'segment', true), whole);
        assert.equal(whole.totals.tokens, scored.length);
      },
    ),
  );
});

test('a line covers the predictions made from its tokens; the last document token predicts nothing', () => {
  const { records } = lines([-1, -2, -3, -4, -5, Number.NaN], 4, 4, 'token', true);
  assert.deepEqual(records, [
    { from: 0, to: 4, scored: 4, nats: 10, logprobs: [-1, -2, -3, -4] },
    { from: 4, to: 6, scored: 1, nats: 5, logprobs: [-5] },
  ]);
});

test('the likeliest tokens go with each scored token, as many as there are', () => {
  const { records } = lines([-1, -2, -3, Number.NaN], 2, 2, 'token', true, 3);
  const top = (t: number) => [
    [t, -0],
    [t + 1, -1],
  ];
  assert.deepEqual(
    records.map((record) => record.top),
    [[top(0), top(1)], [top(2)]],
  );
});

test('a log-probability that is no number anywhere else is an error', () => {
  assert.throws(() => lines([-1, Number.NaN, -1, Number.NaN], 4, 4, 'token', false), /log-probability of token 2/);
});
