import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OutputRecord, type Position, ScoreRecord, type ScoreTotals } from '@longhaul/core/contracts';
import fc from 'fast-check';
import type { InputChunk } from '../../worker/tasks/input.ts';
import { ScoreLines } from '../../worker/tasks/score-lines.ts';
import { loadTokenizer } from '../../worker/text/index.ts';
import { models } from '../support/cluster.ts';
import { byteTokenizer } from '../support/fake-engine.ts';

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
  const open = (resume: ScoreTotals | null, position: Position) =>
    new ScoreLines({ lineTokens, task, tokenizer: byteTokenizer, resume, position });
  const records: ScoreRecord[] = [];
  let score: ScoreTotals | null = null;
  let at = 0;
  let state = open(null, start);
  while (at < logprobs.length) {
    const part = Float32Array.from(logprobs.slice(at, at + chunk));
    const end = at + part.length;
    const next = end < logprobs.length ? 1 : null;
    const position = { ...start, tokenOffset: end };
    const given: InputChunk = {
      tokens: new Int32Array(part.length),
      start: at,
      next,
      position,
      before: null,
      behind: null,
    };
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
      state = open(score, { ...position, outputCount: state.written });
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

const tokenizer = await loadTokenizer(models.tinyEnglish);

/** The lines with texts of these tokens, read in chunks of `chunk`, and gone on with by another owner at each cut. */
function told(tokens: Int32Array, chunk: number, topLogprobs: number): ScoreRecord[] {
  const task = { detail: 'text', topLogprobs } as const;
  const records: ScoreRecord[] = [];
  let resume: ScoreTotals | null = null;
  let outputCount = 0;
  for (let from = 0; from < tokens.length; from += chunk) {
    const part = tokens.slice(from, from + chunk);
    const tokenOffset = from + part.length;
    const lines = new ScoreLines({
      lineTokens: chunk,
      task,
      tokenizer,
      resume,
      position: { ...start, tokenOffset: from, outputCount },
    });
    const next = tokens[tokenOffset] ?? null;
    const position = { ...start, tokenOffset };
    const given: InputChunk = { tokens: part, start: from, next, position, before: null, behind: null };
    const want = lines.want(given);
    assert.ok(want.kind === 'logprobs');
    // The likeliest token is the target's neighbour, as likely as the target itself.
    const ids = Int32Array.from(
      { length: part.length * want.top },
      (_, i) => want.targets[Math.floor(i / want.top)]! + 1,
    );
    const top = { ids, logprobs: new Float32Array(ids.length).fill(-0.5) };
    records.push(...lines.take(given, new Float32Array(part.length).fill(-0.5), top));
    resume = JSON.parse(JSON.stringify(lines.totals)) as ScoreTotals;
    outputCount = lines.written;
  }
  return records;
}

const textsOf = (records: readonly ScoreRecord[]) => [
  records[0]!.first!.text,
  ...records.flatMap((record) => record.texts!),
];

test('texts of the tokens, the first one included, join to the text, whatever the chunks and however often it is resumed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: fc.constantFrom('a', ' the', 'é', '日本', '😀👍🏽', '\n', 'x²'), minLength: 1, maxLength: 40 }),
      fc.constantFrom(1, 2, 4, 16, 64),
      async (text, chunk) => {
        const tokens = await tokenizer.encode(text);
        const records = told(tokens, chunk, 0);
        assert.equal(textsOf(records).join(''), text);
        assert.deepEqual([records[0]!.first!.token, ...records.flatMap((record) => record.tokens!)], [...tokens]);
        assert.deepEqual(textsOf(records), textsOf(told(tokens, 4096, 0)));
        assert.equal(records.filter((record) => record.first !== undefined).length, 1);
        assert.deepEqual(
          records.flatMap((record, i) => (record.next === undefined ? [] : [i])),
          [records.length - 1],
        );
      },
    ),
  );
});

test('the next token is the likeliest of the last position, and completes what the input left incomplete', async () => {
  const tokens = await tokenizer.encode('the 😀');
  assert.ok(tokens.length > 3, 'the character takes several tokens');
  const whole = told(tokens, 64, 2);
  assert.deepEqual(whole[0]!.next, {
    token: 1,
    logprob: -0.5,
    text: tokenizer.textOf(1),
    top: [
      [1, -0.5, tokenizer.textOf(1)],
      [1, -0.5, tokenizer.textOf(1)],
    ],
  });
  assert.equal(ScoreRecord.parse(whole[0]).top![0]![0]!.length, 3);
  // Cut within the character: what is held is told with the token behind it, and by nobody else.
  const cut = told(tokens.slice(0, -1), 1, 0);
  assert.equal(textsOf(cut).join(''), 'the ');
  assert.match(cut.at(-1)!.next!.text, /^\ufffd/);
  assert.deepEqual(cut.at(-1)!.next!.top, []);
});

test('a document of one token has one line, that tells the token and the one behind it', () => {
  const [line, ...more] = told(Int32Array.of(97), 16, 0);
  assert.equal(more.length, 0);
  assert.deepEqual(
    [line!.scored, line!.nats, line!.logprobs, line!.tokens, line!.first!.token, line!.next!.token],
    [0, 0, [], [], 97, 1],
  );
});

test('records of before, whose likeliest tokens have no texts, are read as they are', () => {
  const before = { position: 1, token: 5, logprob: -1, text: 'a', top: [[5, -1]] };
  assert.deepEqual(OutputRecord.parse(before), before);
  const line = { from: 0, to: 2, scored: 1, nats: 1, logprobs: [-1], top: [[[5, -1]]] };
  assert.deepEqual(OutputRecord.parse(line), line);
  const texts = { ...line, top: [[[5, -1, 'a']]], tokens: [5], texts: ['a'], first: { token: 1, text: '' } };
  assert.deepEqual(OutputRecord.parse(texts), texts);
});
