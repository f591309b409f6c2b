import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { AnswerRecord, JobResult } from '@longhaul/core/contracts';
import { mobyDick } from '../../scripts/demo/book.ts';
import { Cluster, models } from '../support/cluster.ts';
import { runLonghaul } from '../support/command-line.ts';

let cluster: Cluster;
let env: Record<string, string | undefined>;

before(async () => {
  cluster = await Cluster.start({ model: models.tinyEnglish });
  env = cluster.commandEnv;
  const book = await mobyDick();
  await writeFile(join(cluster.dir, 'chapter-1.txt'), book.subarray(30_000, 42_000));
  await writeFile(join(cluster.dir, 'chapter-2.txt'), book.subarray(42_000, 50_000));
  await cluster.startWorker('reader');
});
after(() => cluster.close());

const longhaul = (...args: readonly string[]) => runLonghaul(args, { cwd: cluster.dir, env });

const eventsOf = (out: string) =>
  out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

test('each of the new commands says how it is typed, with an example', async () => {
  for (const name of ['ingest', 'append', 'ask']) {
    const { code, out } = await longhaul(name, '--help');
    assert.equal(code, 0);
    assert.match(out, new RegExp(`^  longhaul ${name} `, 'm'), out);
  }
});

test('what is missing or contradicts itself is told before anything is sent', async () => {
  const wrong: [string[], RegExp][] = [
    [['ingest', 'chapter-1.txt'], /^longhaul: invalid_argument: saveAs: an ingest saves its state: give a name\n$/],
    [['append', 'chapter-1.txt'], /^longhaul: invalid_argument: required option '--to <state>'/],
    [['append', '--to', 'book'], /^longhaul: invalid_argument: document: append reads a document: give one\n$/],
    [['ask', '--from', 'book'], /^longhaul: invalid_argument: --task ask takes --question TEXT/],
    [['ask', '--question', 'why?'], /^longhaul: invalid_argument: give one document/],
    [['ask', '--from', 'b@x', '--question', 'why?'], /^longhaul: invalid_argument: --from takes .*; found "b@x"\n$/],
    [
      ['ask', '-', '--questions', '-'],
      /^longhaul: invalid_argument: standard input is read once; found 2 uses of -\n$/,
    ],
    [['submit', 'chapter-1.txt', '--from', 'book', '--bos'], /^longhaul: invalid_argument: addBos: .*BOS is not put/],
    [['submit', '--from', 'book'], /^longhaul: invalid_argument: task.prompt: /],
    [
      ['run', 'chapter-1.txt', '--save-as', 'book'],
      /^longhaul: invalid_argument: --from and --save-as need --data DIR/,
    ],
  ];
  for (const [args, message] of wrong) {
    const { code, out, err } = await longhaul(...args);
    assert.match(err, message, args.join(' '));
    assert.deepEqual([code, out], [2, ''], args.join(' '));
  }
});

test('a book is ingested, asked, appended to and asked again; run says the same', async () => {
  const ingested = await longhaul('ingest', 'chapter-1.txt', '--save-as', 'book');
  assert.equal(ingested.code, 0, ingested.err);
  assert.match(ingested.err, /saved as book@1/);
  assert.equal(ingested.out, '');

  const questions = ['--question', 'The captain', '--question', 'The whale was', '--max-new-tokens', '24'];
  const asked = await longhaul('ask', '--from', 'book', ...questions, '--json');
  assert.equal(asked.code, 0, asked.err);
  const events = eventsOf(asked.out);
  const records = events.filter(({ kind }) => kind === 'record').map(({ record }) => AnswerRecord.parse(record));
  assert.deepEqual(
    records.map(({ index, tokens }) => [index, tokens.length]),
    [
      [0, 24],
      [1, 24],
    ],
  );
  const result = JobResult.parse(events.at(-1).result);
  assert.deepEqual(result.answers, { total: 2, failed: 0 });
  assert.equal(result.usage.cachedTokens, 12_000);

  // One job that reads the document first says the same, and so does the engine without a queue.
  const text = await longhaul('ask', 'chapter-1.txt', ...questions);
  assert.equal(text.code, 0, text.err);
  const lines = records.map(({ index, text }) => `${index + 1}: ${text.trim()}\n`).join('');
  assert.equal(text.out, lines);
  assert.match(text.err, /48 written in 2 answers/);
  const ran = await longhaul(
    'run',
    'chapter-1.txt',
    '--task',
    'ask',
    ...questions,
    '--model',
    models.tinyEnglish,
    '--json',
  );
  const straight = JobResult.parse(JSON.parse(ran.out));
  assert.equal(straight.digests.output, result.digests.output);
  assert.deepEqual(
    [straight.usage.inputTokens, straight.usage.outputTokens],
    [12_000 + result.usage.inputTokens, result.usage.outputTokens],
  );

  const appended = await longhaul('append', 'chapter-2.txt', '--to', 'book', '--json');
  assert.equal(appended.code, 0, appended.err);
  const { state, usage } = JobResult.parse(eventsOf(appended.out).at(-1).result);
  assert.deepEqual([state, usage.inputTokens, usage.cachedTokens], [{ name: 'book', version: 2 }, 8000, 12_000]);

  const before = await longhaul('ask', '--from', 'state://default/book@1', ...questions);
  assert.equal(before.out, lines);
  const now = await longhaul('ask', '--from', 'book', ...questions);
  assert.notEqual(now.out, lines);
});

test('questions in a file are answered by name and line; one that is none is told, and the exit code is that of a success', async () => {
  await longhaul('ingest', 'chapter-1.txt', '--save-as', 'filed');
  const lines = [
    { custom_id: 'first', prompt: 'The captain', max_new_tokens: 4 },
    { prompt: '' },
    { prompt: 'The whale', max_new_tokens: 4 },
  ];
  await writeFile(join(cluster.dir, 'questions.jsonl'), lines.map((line) => JSON.stringify(line)).join('\n'));
  const { code, out, err } = await longhaul('ask', '--from', 'filed', '--questions', 'questions.jsonl');
  assert.equal(code, 0, err);
  const shown = out.trimEnd().split('\n');
  assert.match(shown[0]!, /^first: /);
  assert.match(shown.find((line) => line.startsWith('2: '))!, /^2: invalid_argument: line 2: prompt: a question has/);
  assert.ok(shown.some((line) => line.startsWith('3: ')));
  assert.match(err, /in 3 answers \(1 of them errors\)/);
});

test('detached, the id comes at once, and result prints the answers', async () => {
  const detached = await longhaul(
    'ask',
    'chapter-2.txt',
    '--question',
    'The captain',
    '--max-new-tokens',
    '4',
    '--detach',
  );
  assert.equal(detached.code, 0, detached.err);
  const jobId = detached.out.trim();
  await cluster.result(jobId);
  const { code, out } = await longhaul('result', jobId);
  assert.equal(code, 0);
  assert.match(out, /^1: /);
  const status = JSON.parse((await longhaul('status', jobId, '--json')).out);
  assert.deepEqual([status.task, status.status, status.outputCount], ['ask', 'done', 1]);
});
