import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GenerateTask, JobResult, Task } from '@longhaul/core/contracts';
import { type ForecastParts, forecast } from '@longhaul/producer';
import { costOf, parsePrice } from '../../producer/estimate/price.ts';
import { type Rates, ratesOf } from '../../producer/estimate/rate.ts';
import { secondsOf } from '../../producer/estimate/time.ts';
import { type Held, verdictOf } from '../../producer/estimate/verdict.ts';
import { type JobAhead, waitOf } from '../../producer/estimate/wait.ts';
import { mostWritten, promptsOf, workOf } from '../../producer/estimate/work.ts';
import { resultOf, specOf } from '../support/producer-fakes.ts';
import { scoreTask } from '../support/tasks.ts';

const generate = specOf().task as GenerateTask;
const ask = (limits: readonly (number | null)[]): Task => ({
  kind: 'ask',
  questions: {
    kind: 'inline',
    questions: limits.map((maxNewTokens) => ({ id: null, prompt: 'why?', maxNewTokens })),
  },
  maxNewTokens: 10,
  sampling: generate.sampling,
  stop: [],
  logprobs: false,
  topLogprobs: 0,
});
const stored = { ...ask([null]), questions: { kind: 'stored', key: 'inputs/q' } } as Task;

const ended = (inputTokens: number, outputTokens: number, busySeconds: number, task: Task['kind']): JobResult => {
  const { usage, stats, ...rest } = resultOf('succeeded', outputTokens);
  return {
    ...rest,
    task,
    usage: { ...usage, inputTokens, cachedTokens: 1_000_000 },
    stats: { ...stats, busySeconds },
  };
};
const unnamed = { read: null, write: null };
const named = (read: number | null, write: number | null): Rates =>
  ratesOf({ named: { read, write }, live: [], finished: [] }, 'generate');

test('read is what BOS, document and prompts hold; written is at most what the task allows', () => {
  const document = { tokens: 100, bytes: 400 };
  assert.deepEqual(workOf(scoreTask, true, { document, prompts: [] }), { readTokens: 101, writeTokens: 0 });
  assert.deepEqual(workOf(generate, false, { document, prompts: [7] }), { readTokens: 107, writeTokens: 100 });
  const asked = workOf(ask([null, 3]), false, { document: null, prompts: [4, 5] });
  assert.deepEqual(asked, { readTokens: 9, writeTokens: 13 });
});

test('what was written already is not written again, and stored questions hide how much there is', () => {
  assert.equal(mostWritten(generate, 40), 60);
  assert.equal(mostWritten(generate, 400), 0);
  assert.equal(mostWritten(ask([null, 3, 4]), 1), 7);
  assert.equal(mostWritten(stored, 0), null);
  assert.equal(mostWritten({ kind: 'ingest' }, 0), 0);
  assert.deepEqual(promptsOf({ ...generate, prompt: '' }), []);
  assert.deepEqual(promptsOf({ ...generate, prompt: 'on' }), ['on']);
  assert.deepEqual(promptsOf(ask([null, 3])), ['why?', 'why?']);
});

test('a speed is what the user names, else the median of live jobs, else of finished ones, else unknown', () => {
  const finished = [ended(1000, 0, 1, 'score'), ended(3000, 0, 1, 'ingest'), ended(2000, 0, 1, 'score')];
  const read = (read: number | null, live: readonly number[], jobs: readonly JobResult[]) =>
    ratesOf({ named: { read, write: null }, live, finished: jobs }, 'score').read;
  assert.deepEqual(read(5, [10, 20, 60], finished), { tokensPerSecond: 5, source: 'named', jobs: 0 });
  assert.deepEqual(read(null, [60, 10, 20, 0], finished), { tokensPerSecond: 20, source: 'live', jobs: 3 });
  assert.deepEqual(read(null, [0], finished), { tokensPerSecond: 2000, source: 'finished', jobs: 3 });
  assert.deepEqual(read(null, [], finished.slice(0, 2)), { tokensPerSecond: 2000, source: 'finished', jobs: 2 });
  assert.equal(read(null, [], [ended(1000, 0, 0, 'score')]), null);
  assert.equal(read(null, [], []), null);
});

test('a job that read and wrote in one figure gives floors of both, and the highest floor counts', () => {
  const finished = [ended(1000, 50, 10, 'generate'), ended(100, 40, 4, 'generate'), ended(10, 900, 1, 'ask')];
  const { read, write } = ratesOf({ named: unnamed, live: [], finished }, 'generate');
  assert.deepEqual(read, { tokensPerSecond: 100, source: 'at-least', jobs: 3 });
  assert.deepEqual(write, { tokensPerSecond: 10, source: 'at-least', jobs: 2 });
  // A text is a floor of answers, which are written many at a time; answers say nothing of a text.
  const answers = (jobs: readonly JobResult[], task: Task['kind']) =>
    ratesOf({ named: unnamed, live: [], finished: jobs }, task).write?.tokensPerSecond ?? null;
  assert.equal(answers(finished, 'ask'), 900);
  assert.equal(answers(finished.slice(0, 2), 'ask'), 10);
  assert.equal(answers(finished.slice(2), 'generate'), null);
});

test('seconds go from no output to all of it, and a floor of the speed bounds them from above alone', () => {
  assert.deepEqual(secondsOf(1000, 0, named(100, null)), { low: 10, high: 10 });
  assert.deepEqual(secondsOf(1000, 50, named(100, 10)), { low: 10, high: 15 });
  assert.deepEqual(secondsOf(1000, 50, named(100, null)), { low: 10, high: null });
  assert.deepEqual(secondsOf(1000, null, named(100, 10)), { low: 10, high: null });
  assert.equal(secondsOf(1000, 0, named(null, 10)), null);
  assert.equal(secondsOf(null, 0, named(100, 10)), null);
  assert.deepEqual(secondsOf(0, 50, named(null, 10)), { low: 0, high: 5 });
  const floor = { read: { tokensPerSecond: 100, source: 'at-least', jobs: 1 }, write: null } as const;
  assert.deepEqual(secondsOf(1000, 0, floor), { low: 0, high: 10 });
});

const aheadOf = (patch: Partial<JobAhead>): JobAhead => ({
  jobId: 'jahead001',
  readSeconds: null,
  readTokens: null,
  readBytes: null,
  writeTokens: 0,
  ...patch,
});

test('the wait is the work ahead over the workers seen, by the best figure that each job has', () => {
  const ahead = [aheadOf({ readSeconds: 4 }), aheadOf({ readTokens: 600 }), aheadOf({ readBytes: 4000 })];
  const wait = waitOf({ ahead, workers: 2, more: false }, named(100, null), 0.25);
  assert.deepEqual(wait, { seconds: { low: 10, high: 10 }, unknown: [] });
  const writes = waitOf(
    { ahead: [aheadOf({ readSeconds: 4, writeTokens: 30 })], workers: 1, more: false },
    named(100, 10),
    1,
  );
  assert.deepEqual(writes.seconds, { low: 4, high: 7 });
});

test('a job ahead of unknown size is named, and leaves the wait open', () => {
  const ahead = [aheadOf({ readTokens: 600 }), aheadOf({ jobId: 'jhidden01' })];
  const wait = waitOf({ ahead, workers: 1, more: false }, named(100, null), 1);
  assert.deepEqual(wait, { seconds: { low: 6, high: null }, unknown: ['jhidden01'] });
  const noWorker = waitOf({ ahead: ahead.slice(0, 1), workers: 0, more: false }, named(100, null), 1);
  assert.deepEqual(noWorker, { seconds: { low: 0, high: null }, unknown: [] });
  assert.deepEqual(waitOf({ ahead: [], workers: 0, more: true }, named(100, null), 1).seconds, { low: 0, high: null });
  assert.deepEqual(waitOf({ ahead: [], workers: 0, more: false }, named(100, null), 1).seconds, { low: 0, high: 0 });
});

test('a price is a figure or a range, above 0, and anything else is refused by name', () => {
  assert.deepEqual(parsePrice('--price-per-hour', '1.2'), { low: 1.2, high: 1.2 });
  assert.deepEqual(parsePrice('--price-per-hour', '0.35-1.2'), { low: 0.35, high: 1.2 });
  for (const text of ['', '0', '-1', '2-1', '1-', '1e3', '1,2', 'NaN', '1-2-3', '0-0']) {
    assert.throws(() => parsePrice('--price-per-hour', text), {
      code: 'invalid_argument',
      message: `--price-per-hour takes US dollars an hour, LOW or LOW-HIGH, above 0, as in 0.35-1.2; found ${JSON.stringify(text)}`,
    });
  }
  assert.deepEqual(costOf({ low: 1800, high: 3600 }, { low: 1, high: 3 }), { low: 0.5, high: 3 });
  assert.deepEqual(costOf({ low: 1800, high: null }, { low: 1, high: 3 }), { low: 0.5, high: null });
  assert.equal(costOf(null, { low: 1, high: 3 }), null);
  assert.equal(costOf({ low: 1, high: 1 }, null), null);
});

test('a verdict is certain where both bounds are on one side of the limit, and says which limit', () => {
  const none: Held = { quota: null, etaSeconds: null, costUsd: null, deadlineSeconds: null, maxCostUsd: null };
  const told = (patch: Partial<Held>) => {
    const { verdict, reason } = verdictOf({ ...none, ...patch });
    return `${verdict}: ${reason}`;
  };
  const rows: [Partial<Held>, string][] = [
    [{ quota: { openJobs: 3, most: 4 } }, 'fits: 3 of the 4 jobs that may be open are'],
    [
      { quota: { openJobs: 4, most: 4 }, etaSeconds: { low: 11, high: null }, deadlineSeconds: 10 },
      'over_quota: 4 of the 4 jobs that may be open are: it would be refused now',
    ],
    [{}, 'fits: there is nothing to hold it against: neither --expires-in nor --max-cost was given'],
    [
      { etaSeconds: { low: 1, high: 9 }, deadlineSeconds: 10 },
      'fits: the time to its end is at most 9 s, and --expires-in ends it after 10 s',
    ],
    [
      { etaSeconds: { low: 11, high: null }, deadlineSeconds: 10 },
      'too_late: the time to its end is at least 11 s, and --expires-in ends it after 10 s',
    ],
    [
      { etaSeconds: { low: 9, high: 11 }, deadlineSeconds: 10 },
      'unknown: the time to its end is from 9 s to 11 s, and --expires-in ends it after 10 s',
    ],
    [
      { etaSeconds: { low: 9, high: null }, deadlineSeconds: 10 },
      'unknown: the time to its end is at least 9 s and not known at most, and --expires-in ends it after 10 s',
    ],
    [{ maxCostUsd: 2 }, 'unknown: the price is not known, and --max-cost is 2 USD'],
    [
      { costUsd: { low: 3, high: 4 }, maxCostUsd: 2 },
      'too_expensive: the price is at least 3.0000 USD, and --max-cost is 2 USD',
    ],
    // What certainly does not fit goes before what nobody knows.
    [
      { deadlineSeconds: 10, costUsd: { low: 3, high: 4 }, maxCostUsd: 2 },
      'too_expensive: the price is at least 3.0000 USD, and --max-cost is 2 USD',
    ],
    [
      { etaSeconds: { low: 1, high: 9 }, deadlineSeconds: 10, costUsd: { low: 1, high: 2 }, maxCostUsd: 2 },
      'fits: the time to its end is at most 9 s, and --expires-in ends it after 10 s; the price is at most 2.0000 USD, and --max-cost is 2 USD',
    ],
  ];
  for (const [held, wanted] of rows) assert.equal(told(held), wanted);
});

const parts: ForecastParts = {
  model: 'tiny-english',
  task: scoreTask,
  addBos: false,
  counted: { document: { tokens: 1000, bytes: 4000 }, prompts: [] },
  rates: { named: unnamed, live: [], finished: [] },
  line: { ahead: [], workers: 1, more: false, away: false },
  price: { low: 1, high: 3 },
  expiresInMs: null,
  maxCostUsd: null,
  quota: null,
};

test('without a speed nothing is made up: the notes say what to type', () => {
  const { gpuSeconds, etaSeconds, costUsd, notes } = forecast(parts);
  assert.deepEqual([gpuSeconds, etaSeconds, costUsd], [null, null, null]);
  assert.match(notes.join('\n'), /how fast tiny-english reads is not known: .*: --tokens-per-second N$/);
  const writes = forecast({ ...parts, task: generate, rates: { ...parts.rates, named: { read: 100, write: null } } });
  assert.deepEqual(writes.gpuSeconds, { low: 10, high: null });
  assert.match(writes.notes.join('\n'), /how fast tiny-english writes is not known: .*: --write-tokens-per-second N$/);
});

test('the queue alone may be too long for a deadline', () => {
  const line = { ahead: [aheadOf({ readSeconds: 4000 })], workers: 1, more: false, away: false };
  const { verdict, etaSeconds } = forecast({ ...parts, line, expiresInMs: 3_600_000 });
  assert.equal(etaSeconds, null);
  assert.equal(verdict.verdict, 'too_late');
});

test('what is not seen is said: no worker, no Redis, jobs that could not be looked at', () => {
  const notes = (patch: Partial<ForecastParts['line']>) => {
    const named = { read: 100, write: null };
    return forecast({ ...parts, rates: { ...parts.rates, named }, line: { ...parts.line, ...patch } }).notes;
  };
  assert.deepEqual(notes({}), []);
  assert.deepEqual(notes({ workers: 0 }), ['no worker of tiny-english is alive: the job waits until one is started']);
  assert.deepEqual(notes({ workers: 0, away: true }), [
    'Redis did not answer, or is not known here: workers and live speeds are not seen',
  ]);
  assert.deepEqual(notes({ more: true }), ['not every open job could be looked at: the wait may be longer']);
});
