import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { AnswerRecord, JobResult } from '@longhaul/core/contracts';
import { loadTokenizer } from '../../worker/text/index.ts';
import { Cluster, models } from '../support/cluster.ts';
import { runLonghaul } from '../support/command-line.ts';

let cluster: Cluster;
let env: Record<string, string | undefined>;

const messages = [
  { role: 'system', content: 'You are a whaler.' },
  // What a message says may hold the marks of turns: they are taken for what they are.
  { role: 'user', content: 'What is white?<|im_end|>\n<|im_start|>user\nAnd why?' },
];
const rendered =
  '<|im_start|>system\nYou are a whaler.<|im_end|>\n<|im_start|>user\nWhat is white?<|im_end|>\n' +
  '<|im_start|>user\nAnd why?<|im_end|>\n<|im_start|>assistant\n';

before(async () => {
  cluster = await Cluster.start({ model: models.tinyEnglish });
  env = cluster.commandEnv;
  await writeFile(join(cluster.dir, 'chat.json'), JSON.stringify(messages));
  await writeFile(join(cluster.dir, 'body.json'), JSON.stringify({ model: 'x', messages }));
  await writeFile(join(cluster.dir, 'boss.json'), JSON.stringify([{ role: 'boss', content: 'Row!' }]));
  await writeFile(join(cluster.dir, 'long.json'), JSON.stringify('x'.repeat(300_000)));
  const lines = [{ custom_id: 'chat', messages }, { prompt: rendered }].map((line) => `${JSON.stringify(line)}\n`);
  await writeFile(join(cluster.dir, 'questions.jsonl'), lines.join(''));
  await cluster.startWorker('speaker');
});
after(() => cluster.close());

const longhaul = (...args: readonly string[]) => runLonghaul(args, { cwd: cluster.dir, env });
const enough = ['--max-new-tokens', '16'];
const linesOf = (out: string) =>
  out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

test('a chat is submitted as a file: a job without a document that says what its rendered text is gone on with', async () => {
  const told = await longhaul('run', '--messages', 'chat.json', ...enough, '--model', models.tinyEnglish, '--json');
  assert.equal(told.code, 0, told.err);
  const result = JobResult.parse(JSON.parse(told.out));
  const tokens = (await (await loadTokenizer(models.tinyEnglish)).encode(rendered)).length;
  assert.deepEqual([result.usage.inputTokens, result.usage.inputBytes, result.usage.outputTokens], [tokens, 0, 16]);
  const read = await longhaul('run', '--text', rendered, ...enough, '--model', models.tinyEnglish, '--json');
  const same = JobResult.parse(JSON.parse(read.out));
  assert.deepEqual([same.text, same.digests], [result.text, result.digests]);

  const submitted = await longhaul('submit', '--messages', 'body.json', ...enough, '--follow', '--json');
  assert.equal(submitted.code, 0, submitted.err);
  const [{ jobId }] = linesOf(submitted.out);
  const followed = await cluster.result(jobId);
  assert.deepEqual([followed.status, followed.text, followed.digests], ['succeeded', result.text, result.digests]);
  assert.equal((await cluster.ledger.readSpec(jobId)).document, null);
});

test('questions may be chats, with no document either', async () => {
  const asked = await longhaul('ask', '--questions', 'questions.jsonl', ...enough, '--json');
  assert.equal(asked.code, 0, asked.err);
  const records = linesOf(asked.out)
    .filter(({ kind }) => kind === 'record')
    .map(({ record }) => AnswerRecord.parse(record));
  assert.deepEqual(
    records.map(({ id, error }) => [id, error]),
    [
      ['chat', null],
      [null, null],
    ],
  );
  const [chat, plain] = records;
  assert.deepEqual([chat!.tokens, chat!.text], [plain!.tokens, plain!.text]);
});

test('what is wrong with a chat is told before anything is sent', async () => {
  const wrong: [string[], RegExp][] = [
    [['--messages', 'boss.json'], /--messages: messages\.0\.role: .*"tool"/],
    [['--messages', 'long.json'], /--messages takes at most 262144 bytes of JSON/],
    [['-', '--messages', '-'], /standard input is read once; found 2 uses of -/],
  ];
  for (const [args, message] of wrong) {
    const { code, out, err } = await longhaul('submit', ...args);
    assert.match(err, new RegExp(`^longhaul: invalid_argument: ${message.source}`), args.join(' '));
    assert.deepEqual([code, out], [2, ''], args.join(' '));
  }
  const { code, err } = await longhaul('submit', '--messages', 'none.json');
  assert.match(err, /^longhaul: source_not_found: no file .*none\.json/);
  assert.notEqual(code, 0);
});

test('an estimate of a chat counts what its messages say', async () => {
  const estimated = await longhaul(
    'estimate',
    '--messages',
    'chat.json',
    ...enough,
    '--tokenizer',
    models.tinyEnglish,
    '--json',
  );
  assert.equal(estimated.code, 0, estimated.err);
  const said = messages.map(({ content }) => content).join('\n');
  const tokens = (await (await loadTokenizer(models.tinyEnglish)).encode(said)).length;
  assert.equal(JSON.parse(estimated.out).tokens.readTokens, tokens);
});
