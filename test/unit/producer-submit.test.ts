import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jobOptions, limits, parseJobOptions, parseSourceReference } from '@longhaul/core/contracts';
import {
  buildSpec,
  createProducer,
  inlineSource,
  keyedJobId,
  parseSubmitInput,
  type Submission,
  timeJobId,
} from '@longhaul/producer';
import { parseSeparator } from '../../producer/source.ts';
import { FakeLedger, FakeLive, FakeQueue, headOf, jobId, specOf } from '../support/producer-fakes.ts';
import { greedySampling, scoreTask } from '../support/tasks.ts';

function submission(patch: Partial<Submission> = {}): Submission {
  return {
    document: { kind: 'source', source: inlineSource('once upon a time') },
    questions: null,
    request: parseJobOptions({}),
    model: 'tiny-english',
    tenant: 'default',
    priority: 0,
    jobId: null,
    idempotencyKey: null,
    expiresInMs: null,
    enqueueMs: 0,
    signal: AbortSignal.timeout(10_000),
    ...patch,
  };
}

function setUp() {
  const ledger = new FakeLedger();
  const queue = new FakeQueue(ledger.calls);
  return { ledger, queue, producer: createProducer({ ledger, openQueueFor: async () => queue, live: new FakeLive() }) };
}

test('options that are not given take the documented defaults', () => {
  assert.deepEqual(parseJobOptions({}), {
    task: {
      kind: 'generate',
      prompt: null,
      maxNewTokens: 256,
      sampling: greedySampling,
      stop: [],
      topLogprobs: 0,
    },
    compression: 'auto',
    invalidUtf8: 'error',
    addBos: false,
    from: null,
    saveAs: null,
    prefixCache: true,
  });
  assert.deepEqual(parseJobOptions({ task: 'score' }).task, scoreTask);
});

test('options come as a command line gives them, or as a program writes them', () => {
  const typed = parseJobOptions({
    maxNewTokens: '12',
    temperature: '0.7',
    topK: '40',
    topP: '0.9',
    minP: '0.05',
    logitBias: ['11=-100', '7=1.5'],
    topLogprobs: '3',
    seed: '18446744073709551615',
    stop: ['a', 'b'],
  });
  const written = parseJobOptions({
    maxNewTokens: 12,
    temperature: 0.7,
    topK: 40,
    topP: 0.9,
    minP: 0.05,
    logitBias: ['11=-100', '7=1.5'],
    topLogprobs: 3,
    seed: '18446744073709551615',
    stop: ['a', 'b'],
  });
  assert.deepEqual(typed, written);
  assert.deepEqual(typed.task.kind === 'generate' && typed.task.sampling.logitBias, [
    { token: 11, bias: -100 },
    { token: 7, bias: 1.5 },
  ]);
});

test('a wrong option is refused with its name, what was found and what is allowed', () => {
  const wrong: [Record<string, unknown>, RegExp][] = [
    [{ task: 'read' }, /^--task takes one of generate, score, ingest, ask, append; found "read"$/],
    [{ task: 'ask' }, /^--task ask takes --question TEXT, once or more, or --questions FILE$/],
    [{ task: 'ask', question: ['why?'], questions: 'q.jsonl' }, /^--task ask takes --question TEXT/],
    [{ task: 'ask', question: [''] }, /^--question takes at most 256 texts of 1 to 65536 bytes.*; found \[""\]$/],
    [{ task: 'ask', question: Array.from({ length: 257 }, () => '?') }, /^--question takes at most 256 texts/],
    [{ task: 'ask', question: ['é'.repeat(40_000)] }, /^--question takes .*; found "80000 bytes in all"$/],
    [{ task: 'ask', question: ['?'], maxNewTokens: 20_000 }, /^--max-new-tokens .*an answer: 16384.*; found 20000$/],
    [{ task: 'ask', question: ['?'], topLogprobs: 2 }, /^--top-logprobs of --task ask needs --logprobs$/],
    [{ question: ['why?'] }, /^--question belongs to --task ask; this is --task generate$/],
    [{ task: 'score', temperature: 1 }, /^--temperature belongs to --task generate or ask; this is --task score$/],
    [{ from: 'state://other/book' }, /^--from takes a state: name, name@version .*; found "state:\/\/other\/book"$/],
    [{ from: 'book@0' }, /^--from takes .*; found "book@0"$/],
    [{ saveAs: 'Book' }, /^--save-as takes 1 to 63 of a-z 0-9 .*; found "Book"$/],
    [{ saveAs: 'a..b' }, /^--save-as takes .* without \.\.; found "a\.\.b"$/],
    [{ maxNewTokens: '0' }, /^--max-new-tokens takes an integer from 1 to 1000000 \(an answer: 16384\); found 0$/],
    [{ maxNewTokens: '1.5' }, /--max-new-tokens .* found 1.5/],
    [{ temperature: 'hot' }, /^--temperature takes a number from 0 to 100; found "hot"$/],
    [{ temperature: '' }, /--temperature .* found ""/],
    [{ topP: '0' }, /^--top-p takes a number above 0, at most 1; found 0$/],
    [{ seed: '18446744073709551616' }, /^--seed takes an integer from 0 to 18446744073709551615/],
    [{ seed: '007' }, /--seed .* found "007"/],
    [{ minP: '0' }, /^--min-p takes a number above 0, at most 1; found 0$/],
    [{ logitBias: ['11'] }, /^--logit-bias takes at most 300 different token ids, each with .*; found "11"$/],
    [{ logitBias: ['11=101'] }, /^--logit-bias takes .*; found "11=101"$/],
    [{ logitBias: ['-1=1'] }, /^--logit-bias takes .*; found "-1=1"$/],
    [{ logitBias: ['11=1', '11=2'] }, /^--logit-bias takes at most 300 different token ids/],
    [{ topLogprobs: '21' }, /^--top-logprobs takes an integer from 0 to 20; found 21$/],
    [{ task: 'score', topLogprobs: '2' }, /^--top-logprobs of --task score needs --detail token or text$/],
    [{ stop: [''] }, /^--stop takes at most 16 texts of 1 to 256 characters; found \[""\]$/],
    [{ stop: Array.from({ length: 17 }, () => 'x') }, /--stop takes at most 16/],
    [{ task: 'score', segmentTokens: '100' }, /^--segment-tokens takes a power of two from 64 to 65536; found 100$/],
    [{ compression: 'rar' }, /--compression takes one of auto, none, gzip, zstd; found "rar"/],
    [{ task: 'score', prompt: 'why?' }, /^--prompt belongs to --task generate; this is --task score$/],
    [{ messages: '[]', prompt: 'x' }, /^--prompt and --messages say the same thing: give one of them$/],
    [{ messages: 'What?' }, /^--messages takes chat messages as JSON, \[\{"role": "user", .*; found "What\?"$/],
    [{ messages: '"What?"' }, /^--messages takes chat messages .*; found "What\?"$/],
    [{ messages: '{"messages": 1}' }, /^--messages takes chat messages .*; found \{"messages":1\}$/],
    [{ messages: '[]' }, /^--messages: messages: a chat has at least one message$/],
    [{ messages: '[{"role": "boss", "content": ""}]' }, /^--messages: messages\.0\.role: .*"tool"$/],
    [{ messages: '[]', task: 'score' }, /^--messages belongs to --task generate; this is --task score$/],
    [{ segmentTokens: '64' }, /^--segment-tokens belongs to --task score; this is --task generate$/],
    [
      { prompt: 'é'.repeat(limits.inlineBytes / 2 + 1) },
      /--prompt takes text of at most 64 KiB as UTF-8; found "a text of 65538 bytes"/,
    ],
  ];
  for (const [values, message] of wrong) {
    assert.throws(() => parseJobOptions(values), { code: 'invalid_argument', message }, JSON.stringify(values));
  }
});

test('every option says what it allows', () => {
  for (const option of jobOptions) assert.ok(option.kind === 'switch' || option.allowed !== '', option.key);
});

test('a document is a file, standard input, or a place that workers read', () => {
  const source = (argument: string) => {
    const input = parseSubmitInput(argument);
    return input.kind === 'in-place' ? input.source : input;
  };
  assert.deepEqual(source('-'), { kind: 'stdin' });
  assert.deepEqual(source('docs/a b.txt'), { kind: 'file', path: 'docs/a b.txt' });
  assert.deepEqual(source('s3://books/a/b c.txt'), { kind: 's3', bucket: 'books', key: 'a/b c.txt', versionId: null });
  assert.deepEqual(source('s3://books/a?versionId=x%2Fy'), { kind: 's3', bucket: 'books', key: 'a', versionId: 'x/y' });
  assert.deepEqual(source('https://example.org/a.txt'), { kind: 'https', url: 'https://example.org/a.txt' });
  assert.deepEqual(source('file:///srv/a%20b.txt'), { kind: 'file', path: '/srv/a b.txt' });
  for (const bad of ['', 'http://example.org/a', 'ftp://x/y', 's3://books', 's3:///key', 'file://host/a', 'https://']) {
    assert.throws(() => parseSubmitInput(bad), { code: 'invalid_argument' }, bad);
  }
  assert.throws(() => inlineSource('é'.repeat(40_000)), {
    code: 'invalid_argument',
    message: /65536 bytes; found 80000/,
  });
  assert.throws(() => inlineSource(''), { code: 'source_empty' });
});

test('ids sort by time, and a key always gives the same id', () => {
  const random = (byte: number) => new Uint8Array(16).fill(byte);
  assert.ok(timeJobId(1_000, random(255)) < timeJobId(1_001, random(0)));
  assert.match(timeJobId(Date.now(), random(7)), /^j[0-9a-hjkmnp-tv-z]{26}$/);
  assert.equal(keyedJobId('default', 'k'), keyedJobId('default', 'k'));
  assert.notEqual(keyedJobId('default', 'k'), keyedJobId('other', 'k'));
  assert.notEqual(keyedJobId('a', 'b\nc'), keyedJobId('a\nb', 'd'));
});

test('a word of the spec that is wrong is named', () => {
  const parts = {
    ...specOf(),
    createdAt: new Date(),
    expiresInMs: null,
    request: parseJobOptions({}),
    document: inlineSource('x'),
  };
  assert.throws(() => buildSpec({ ...parts, model: 'a b' }), {
    code: 'invalid_argument',
    message: /^model takes .*; found "a b"$/,
  });
  assert.throws(() => buildSpec({ ...parts, jobId: '1' }), { code: 'invalid_argument', message: /^jobId takes/ });
  assert.throws(() => buildSpec({ ...parts, priority: 1001 }), {
    code: 'invalid_argument',
    message: /^priority takes/,
  });
});

test('a job is durable before the queue hears of it', async () => {
  const { ledger, producer } = setUp();
  const body = (async function* () {
    yield new Uint8Array(5);
  })();
  const submitted = await producer.submit(submission({ document: { kind: 'upload', body } }));
  assert.deepEqual(ledger.calls, ['putInput', 'submit', 'enqueue']);
  assert.deepEqual({ outcome: submitted.outcome, queue: submitted.queue }, { outcome: 'created', queue: 'told' });
  assert.deepEqual((await ledger.readSpec(submitted.jobId)).document, { kind: 'stored', key: 'inputs/1' });
});

test('joined documents are stored one after the other, and not again for the same job', async () => {
  const { ledger, producer } = setUp();
  const body = async function* (bytes: number) {
    yield new Uint8Array(bytes);
  };
  const s3 = { kind: 's3', bucket: 'books', key: 'b.txt', versionId: null } as const;
  const joined = (separator = ' ', last = 7): Partial<Submission> => ({
    idempotencyKey: 'k',
    document: {
      kind: 'joined',
      separator,
      parts: [
        { kind: 'upload', body: body(5) },
        { kind: 'source', source: s3 },
        { kind: 'upload', body: body(last) },
      ],
    },
  });
  const { jobId, outcome } = await producer.submit(submission(joined()));
  assert.deepEqual([outcome, ledger.calls], ['created', ['putInput', 'putInput', 'submit', 'enqueue']]);
  const { document } = await ledger.readSpec(jobId);
  const stored = (n: number) => ({ kind: 'stored', key: `inputs/${n}` });
  assert.deepEqual(document, { kind: 'joined', parts: [stored(1), s3, stored(2)], separator: ' ' });
  assert.equal((await producer.submit(submission(joined()))).outcome, 'existing');
  assert.equal(ledger.calls.filter((call) => call === 'putInput').length, 2);
  await assert.rejects(producer.submit(submission(joined('-'))), { code: 'job_exists' });
  const empty = { ...joined(' ', 0), idempotencyKey: null };
  await assert.rejects(producer.submit(submission(empty)), {
    code: 'source_empty',
    message: /^document 3 of 3 has 0 bytes/,
  });
});

test('a reference names a document to be read in place, and what is wrong with one is said', () => {
  assert.deepEqual(parseSourceReference('s3://books/a%20b/c.txt?versionId=v%2F1'), {
    kind: 's3',
    bucket: 'books',
    key: 'a%20b/c.txt',
    versionId: 'v/1',
  });
  assert.deepEqual(parseSourceReference('file:///a%20b.txt'), { kind: 'file', path: '/a b.txt' });
  assert.deepEqual(parseSourceReference('https://x.org/a?b'), { kind: 'https', url: 'https://x.org/a?b' });
  const wrong: [string, RegExp][] = [
    ['state://t/book', /^"state:\/\/t\/book" names no document: it is a state, which a job goes on from$/],
    ['s3://books', /key: /],
    ['s3://UPPER/key', /bucket: /],
    ['file://host/path', /names no document$/],
    ['https://', /url: /],
    ['http://x.org/', /a reference is s3:\/\/bucket\/key, https/],
    ['book.txt', /a reference is/],
  ];
  for (const [text, message] of wrong) {
    assert.throws(() => parseSourceReference(text), { code: 'invalid_argument', message }, text);
  }
});

test('a separator is typed with the escapes of most languages', () => {
  const typed: [string, string][] = [
    ['\\n\\n', '\n\n'],
    ['--\\t\\r\\\\n', '--\t\r\\n'],
    ['', ''],
    ['\n', '\n'],
    ['—', '—'],
  ];
  for (const [text, meant] of typed) assert.equal(parseSeparator(text), meant);
  for (const wrong of ['\\x41', 'a\\']) {
    assert.throws(() => parseSeparator(wrong), { code: 'invalid_argument', message: /^--separator knows/ });
  }
  assert.equal(parseSeparator('x'.repeat(limits.separatorBytes)).length, limits.separatorBytes);
  assert.throws(() => parseSeparator('é'.repeat(limits.separatorBytes / 2 + 1)), {
    code: 'invalid_argument',
    message: /at most 4096 bytes; found 4098/,
  });
});

test('nothing is sent for a job whose words are wrong, and an empty document makes no job', async () => {
  const { ledger, producer } = setUp();
  const body = async function* () {};
  await assert.rejects(producer.submit(submission({ model: '?', document: { kind: 'upload', body: body() } })), {
    code: 'invalid_argument',
  });
  assert.deepEqual(ledger.calls, []);
  await assert.rejects(producer.submit(submission({ document: { kind: 'upload', body: body() } })), {
    code: 'source_empty',
  });
  assert.deepEqual(ledger.calls, ['putInput']);
});

test('the same key is the same job, told to the queue again; another question under it is refused', async () => {
  const { ledger, queue, producer } = setUp();
  const first = await producer.submit(submission({ idempotencyKey: 'k' }));
  queue.waiting.clear();
  await new Promise((resolve) => setTimeout(resolve, 5));
  const second = await producer.submit(submission({ idempotencyKey: 'k' }));
  assert.deepEqual([second.jobId, second.outcome, second.queue], [first.jobId, 'existing', 'told']);
  assert.ok(queue.waiting.has(first.jobId));
  const other = submission({ idempotencyKey: 'k', request: parseJobOptions({ task: 'score' }) });
  await assert.rejects(producer.submit(other), { code: 'job_exists' });
  ledger.head = headOf({ status: 'done' });
  assert.equal((await producer.submit(submission({ idempotencyKey: 'k' }))).queue, 'ended');
  await assert.rejects(producer.submit(submission({ idempotencyKey: 'k', jobId: 'jother0001' })), {
    code: 'invalid_argument',
  });
});

test('a document is not sent twice under one key, and two that are sent at once make one job', async () => {
  const { ledger, producer } = setUp();
  const upload = (idempotencyKey: string) => {
    const body = (async function* () {
      yield new Uint8Array(5);
    })();
    return producer.submit(submission({ idempotencyKey, document: { kind: 'upload', body } }));
  };
  await upload('one');
  assert.equal((await upload('one')).outcome, 'existing');
  assert.equal(ledger.calls.filter((call) => call === 'putInput').length, 1);
  const both = await Promise.all([upload('two'), upload('two')]);
  assert.deepEqual(both.map((s) => s.outcome).sort(), ['created', 'existing']);
  assert.equal(both[0]?.jobId, both[1]?.jobId);
});

test('while the queue is away the job is stored; it is told again for as long as was asked', async () => {
  const { ledger, queue, producer } = setUp();
  queue.failures = 1;
  const gone = await producer.submit(submission());
  assert.deepEqual([gone.queue, gone.queueError], ['unreachable', 'connection refused']);
  assert.ok(ledger.specs.has(gone.jobId));
  queue.failures = 2;
  assert.equal((await producer.submit(submission({ enqueueMs: 5000 }))).queue, 'told');
});

test('a job that no worker took is ended by the cancel itself', async () => {
  const { ledger, queue, producer } = setUp();
  ledger.specs.set(jobId, specOf());
  queue.waiting.add(jobId);
  assert.deepEqual(await producer.cancel(jobId), { jobId, outcome: 'cancelled', status: 'cancelled' });
  assert.deepEqual(ledger.calls, ['requestCancel', 'remove', 'acquire']);
  assert.equal((await producer.cancel(jobId)).outcome, 'ended');
});

test('a job that a worker holds is only asked to stop, and its result says that it is not finished', async () => {
  const { ledger, producer } = setUp();
  ledger.specs.set(jobId, specOf());
  ledger.head = headOf({}, { tokenOffset: 4096 });
  assert.deepEqual(await producer.cancel(jobId), { jobId, outcome: 'requested', status: 'running' });
  assert.ok(!ledger.calls.includes('acquire'));
  assert.equal((await producer.status(jobId)).cancelRequested, true);
  await assert.rejects(producer.result(jobId), {
    code: 'job_not_finished',
    message: /running, with 4096 tokens committed/,
  });
  await assert.rejects(producer.result('jnowhere01'), { code: 'job_not_found' });
});
