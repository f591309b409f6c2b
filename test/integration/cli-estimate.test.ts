import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { openStore } from '@longhaul/core/ledger';
import { mobyDick } from '../../scripts/demo/book.ts';
import { Cluster, models } from '../support/cluster.ts';
import { bin, runLonghaul } from '../support/command-line.ts';
import { ledgerOn } from '../support/s3-ledger.ts';
import { startS3Server } from '../support/s3-server/index.ts';
import { scoreTask } from '../support/tasks.ts';

let cluster: Cluster;
let book: Buffer;
let env: Record<string, string | undefined>;

before(async () => {
  cluster = await Cluster.start({ model: models.tinyEnglish });
  env = cluster.commandEnv;
  book = await mobyDick();
  await writeFile(join(cluster.dir, 'chapter.txt'), book.subarray(30_000, 42_000));
  await writeFile(join(cluster.dir, 'chapter.txt.gz'), gzipSync(book.subarray(30_000, 42_000)));
});
after(() => cluster.close());

const longhaul = (...args: readonly string[]) => runLonghaul(args, { cwd: cluster.dir, env });

const tokenizer = ['--tokenizer', models.tinyEnglish];
const named = ['--tokens-per-second', '1000', '--write-tokens-per-second', '10'];

async function estimated(...args: readonly string[]) {
  const { code, out, err } = await longhaul('estimate', ...args, ...tokenizer, '--json');
  assert.equal(err, '');
  return { code, ...JSON.parse(out) };
}

/** Every object of the store, by name. */
async function stored(): Promise<readonly string[]> {
  const names = await readdir(join(cluster.dir, 'store'), { recursive: true });
  return names.filter((name) => !name.startsWith('.tmp')).sort();
}

test('estimate says how it is typed, with an example and its exit codes', async () => {
  const { code, out } = await longhaul('estimate', '--help');
  assert.equal(code, 0);
  assert.match(out, /^ {2}longhaul estimate book\.txt /m);
  assert.match(out, /0 fits, or nothing to hold it against · 4 does not fit · 5 not known whether it fits/);
});

test('every wrong word is told in one line, with exit code 2, and a wrong setting by its name', async () => {
  const wrong: [string[], RegExp][] = [
    [['estimate'], /^longhaul: invalid_argument: give one document/],
    [['estimate', 'http://x/y'], /^longhaul: invalid_argument: the document takes .*; found http:\/\/x\/y\n$/],
    [['estimate', 'chapter.txt', '--task', 'ingest'], /^longhaul: invalid_argument: saveAs: an ingest saves its state/],
    [
      ['estimate', 'chapter.txt', '--price-per-hour', '2-1'],
      /^longhaul: invalid_argument: --price-per-hour takes US dollars an hour, LOW or LOW-HIGH, .*; found "2-1"\n$/,
    ],
    [
      ['estimate', 'chapter.txt', '--max-cost', 'much', '--price-per-hour', '1'],
      /^longhaul: invalid_argument: --max-cost takes a number from 0 to 1000000000; found "much"\n$/,
    ],
    [
      ['estimate', 'chapter.txt', '--max-cost', '1'],
      /^longhaul: invalid_argument: --max-cost needs a price: --price-per-hour or LONGHAUL_PRICE_PER_HOUR\n$/,
    ],
    [
      ['estimate', 'chapter.txt', '--tokens-per-second', '0'],
      /^longhaul: invalid_argument: --tokens-per-second takes a number from 0.001 to 1000000000; found "0"\n$/,
    ],
    [
      ['estimate', 'chapter.txt', '--write-tokens-per-second', '-1'],
      /^longhaul: invalid_argument: --write-tokens-per-second takes a number from 0.001 to 1000000000; found "-1"\n$/,
    ],
    [['estimate', 'chapter.txt', '--expires-in', '2'], /^longhaul: invalid_argument: --expires-in takes a number with/],
    [
      ['estimate', 'chapter.txt', '--task', 'ask', '--questions', 'q.jsonl'],
      /^longhaul: invalid_argument: an estimate counts --question TEXT; a file of questions is not counted\n$/,
    ],
    [
      ['estimate', 's3://books/a?versionId=1', ...tokenizer],
      /^longhaul: invalid_argument: an estimate counts the newest version of an object: .*; found s3:\/\/books\/a\?versionId=1\n$/,
    ],
    [
      ['submit', 'chapter.txt', '--max-cost', '1'],
      /^longhaul: invalid_argument: --max-cost belongs to --dry-run: give both\n$/,
    ],
    [
      ['submit', 'chapter.txt', '--dry-run', '--follow'],
      /^longhaul: invalid_argument: --follow has no job to follow in a --dry-run: leave one of them out\n$/,
    ],
  ];
  for (const [args, message] of wrong) {
    const { code, out, err } = await longhaul(...args);
    assert.match(err, message, args.join(' '));
    assert.deepEqual([code, out], [2, ''], args.join(' '));
  }
  const failed: [string[], RegExp][] = [
    [['estimate', 'none.txt', ...tokenizer], /^longhaul: source_not_found: no file .*none\.txt\n$/],
    [
      ['estimate', 'chapter.txt'],
      /^longhaul: model_not_found: .*: name the directory of its tokenizer: --tokenizer DIR\n$/,
    ],
    [['estimate', '--from', 'nothing', '--prompt', 'on'], /^longhaul: state_not_found: /],
  ];
  for (const [args, message] of failed) {
    const { code, out, err } = await longhaul(...args);
    assert.match(err, message, args.join(' '));
    assert.deepEqual([code, out], [1, ''], args.join(' '));
  }
  env = { ...env, LONGHAUL_PRICE_PER_HOUR: 'cheap' };
  const { code, err } = await longhaul('estimate', 'chapter.txt');
  env = { ...env, LONGHAUL_PRICE_PER_HOUR: undefined };
  assert.match(err, /^longhaul: invalid_config: LONGHAUL_PRICE_PER_HOUR takes US dollars .*; found "cheap"\n$/);
  assert.equal(code, 1);
});

test('tokens are counted exactly, compressed or not, prompts each on its own', async () => {
  const plain = await estimated('chapter.txt', '--task', 'score');
  assert.deepEqual([plain.tokens, plain.documentBytes], [{ readTokens: 12_000, writeTokens: 0 }, 12_000]);
  const inflated = await estimated('chapter.txt.gz', '--task', 'score', '--bos');
  assert.deepEqual([inflated.tokens, inflated.documentBytes], [{ readTokens: 12_001, writeTokens: 0 }, 12_000]);
  const asked = await estimated('--text', 'abc', '--task', 'ask', '--question', '-why?', '--question', 'who?');
  assert.deepEqual(asked.tokens, { readTokens: 3 + 5 + 4, writeTokens: 512 });
});

test('the verdict is the exit code: 0 fits, 4 too late or too expensive, 5 not known', async () => {
  const words = ['chapter.txt', '--task', 'score'];
  const fits = await estimated(
    ...words,
    ...named,
    '--expires-in',
    '1m',
    '--price-per-hour',
    '1-3',
    '--max-cost',
    '0.02',
  );
  assert.deepEqual([fits.code, fits.verdict.verdict, fits.gpuSeconds], [0, 'fits', { low: 12, high: 12 }]);
  assert.deepEqual(fits.costUsd, { low: 12 / 3600, high: 36 / 3600 });
  const late = await estimated(...words, ...named, '--expires-in', '5s');
  assert.deepEqual([late.code, late.verdict.verdict], [4, 'too_late']);
  const dear = await estimated(...words, ...named, '--price-per-hour', '1', '--max-cost', '0.003');
  assert.deepEqual([dear.code, dear.verdict.verdict], [4, 'too_expensive']);
  const unknown = await estimated(...words, '--expires-in', '5s');
  assert.deepEqual([unknown.code, unknown.verdict.verdict, unknown.gpuSeconds], [5, 'unknown', null]);
  const free = await estimated(...words);
  assert.deepEqual([free.code, free.verdict.verdict], [0, 'fits']);
});

test('a dry run says what estimate says, and neither stores nor queues anything', async () => {
  const words = ['chapter.txt', '--prompt', 'And so', '--max-new-tokens', '20', '--expires-in', '1h'];
  const [objects, counts] = [await stored(), await cluster.queue.counts()];
  const dry = await longhaul('submit', ...words, '--dry-run', ...named, ...tokenizer);
  const told = await longhaul('estimate', ...words, ...named, ...tokenizer);
  assert.equal(dry.code, 0, dry.err);
  assert.equal(dry.out, told.out);
  assert.match(dry.out, /^tokens {3}12,006 to read, at most 20 to write$/m);
  assert.match(dry.out, /^gpu {6}12s to 14s$/m);
  assert.deepEqual(await stored(), objects);
  assert.deepEqual(await cluster.queue.counts(), counts);
  assert.deepEqual([counts.waiting, counts.active], [0, 0]);
});

test('jobs that wait are work ahead by their size, one of hidden size is named, and one of a lower priority is behind', async () => {
  const text = book.subarray(0, 6000);
  await cluster.submitText('jplain001', text, scoreTask);
  await cluster.submitText('jhidden01', gzipSync(text), scoreTask);
  const first = await estimated('chapter.txt', '--task', 'score', ...named);
  assert.equal(first.queue.jobsAhead, 2);
  assert.deepEqual(first.queue.unknown, ['jhidden01']);
  assert.equal(first.etaSeconds.high, null);
  assert.match(first.notes.join('\n'), /how much work is ahead is not fully known of jhidden01/);
  const before = await estimated('chapter.txt', '--task', 'score', ...named, '--priority', '5');
  assert.deepEqual([before.queue.jobsAhead, before.etaSeconds], [0, { low: 12, high: 12 }]);
});

test('the rate comes from finished jobs, then from what a worker shows of the job that it reads', async () => {
  const worker = await cluster.startWorker('reader');
  const results = [await cluster.result('jplain001'), await cluster.result('jhidden01')];
  const speeds = results.map(({ usage, stats }) => usage.inputTokens / stats.busySeconds);
  const after = await estimated('chapter.txt', '--task', 'score', '--expires-in', '365d');
  assert.equal(after.rates.read.source, 'finished');
  assert.equal(after.rates.read.jobs, 2);
  assert.ok(Math.abs(after.rates.read.tokensPerSecond - (speeds[0]! + speeds[1]!) / 2) < 1e-6);
  assert.ok(Math.abs(after.gpuSeconds.high - 12_000 / after.rates.read.tokensPerSecond) < 1e-6);
  assert.deepEqual([after.code, after.verdict.verdict, after.queue.jobsAhead], [0, 'fits', 0]);

  await cluster.submitText('jlong0001', Buffer.concat([book, book, book, book]), scoreTask);
  await cluster.progress('jlong0001', ({ phase, bytes }) => phase === 'read' && bytes > 0);
  // The worker stands still: what it showed is fresh for half a minute, however long the count takes.
  worker.signal('SIGSTOP');
  const now = await estimated('chapter.txt', '--task', 'score');
  const shown = (await cluster.live.readProgress('jlong0001'))!;
  assert.deepEqual(now.rates.read, { tokensPerSecond: shown.tokensPerSecond, source: 'live', jobs: 1 });
  assert.deepEqual([now.queue.jobsAhead, now.queue.workers, now.queue.unknown], [1, 1, []]);
  const left = (4 * book.length - shown.bytes) / ((shown.bytes / shown.tokens) * shown.tokensPerSecond);
  assert.ok(Math.abs(now.queue.seconds.high / left - 1) < 1e-6, `${now.queue.seconds.high} against ${left}`);
});

test('a job that goes on from a state reads what is new alone, and the tokenizer must be that of the state', async () => {
  const vocabulary = ['--tokenizer', models.induction, '--tokens-per-second', '1000'];
  const worker = await cluster.startWorker('keeper');
  await cluster.submitText('jingest01', book.subarray(0, 5000), { kind: 'ingest' }, { saveAs: 'opening' });
  await cluster.result('jingest01');
  await worker.stop('SIGKILL');
  const words = ['--from', 'opening', '--prompt', 'And so', '--max-new-tokens', '7'];
  const { tokens, documentBytes, model } = await estimated(...words);
  assert.deepEqual([tokens, documentBytes, model], [{ readTokens: 6, writeTokens: 7 }, null, 'test']);
  const other = await longhaul('estimate', ...words, ...vocabulary);
  assert.match(
    other.err,
    /^longhaul: tokenizer_mismatch: opening@1 was read with the tokenizer [0-9a-f]{64}; that of /,
  );
  assert.deepEqual([other.code, other.out], [1, '']);
});

test('without Redis the ledger alone answers, and says so', async () => {
  const before = env;
  env = { ...env, LONGHAUL_REDIS_URL: 'redis://127.0.0.1:1' };
  const found = await estimated('chapter.txt', '--task', 'score').finally(() => {
    env = before;
  });
  assert.equal(found.rates.read.source, 'finished');
  assert.deepEqual([found.queue.workers, found.etaSeconds.high], [0, null]);
  assert.match(found.notes[0], /^Redis did not answer/);
});

test('an object of a bucket is read where it is, and what comes through standard input is counted alike', async (t) => {
  const s3 = await startS3Server();
  t.after(() => s3.close());
  const ledger = ledgerOn(s3);
  const store = await openStore(ledger.url, ledger.options);
  t.after(() => store.close());
  await store.putIfAbsent('chapter.txt.gz', gzipSync(book.subarray(0, 7000)));
  const before = env;
  env = { ...env, ...ledger.env, LONGHAUL_STORE: ledger.url };
  const object = `s3://${s3.bucket}/ledger/chapter.txt.gz`;
  const found = await estimated(object, '--task', 'score').finally(() => {
    env = before;
  });
  assert.deepEqual([found.tokens.readTokens, found.documentBytes], [7000, 7000]);
  const written = s3.requests.filter(({ method }) => !['GET', 'HEAD'].includes(method)).map(({ key }) => key);
  assert.deepEqual(written, ['ledger/chapter.txt.gz']);

  const child = spawn(process.execPath, [bin, 'estimate', '-', '--task', 'score', ...tokenizer, '--json'], {
    cwd: cluster.dir,
    env,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(book.subarray(0, 9000));
  const said = (await child.stdout.setEncoding('utf8').toArray()).join('');
  assert.equal(JSON.parse(said).tokens.readTokens, 9000);
});
