import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { JobSpec, TokenRecord } from '@longhaul/core/contracts';
import { createLedger, type Lease, openStore } from '@longhaul/core/ledger';
import { findRedisServer } from '@longhaul/core/redis';
import { openLiveStream } from '@longhaul/core/stream';
import { isRunning, processStart } from '../../producer/up/process-identity.ts';
import { UpFile } from '../../producer/up/up-file.ts';
import { bin, type Ran } from '../support/command-line.ts';

const env: Record<string, string | undefined> = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('LONGHAUL_') || name === 'LONGHAUL_REDIS_SERVER'),
);
const noRedis = await findRedisServer(env).then(
  () => false as const,
  (error: Error) => error.message,
);

let dir = '';
const children = new Set<ChildProcess>();

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'longhaul-cli-'));
  await writeFile(join(dir, 'book.txt'), 'Call me Ishmael. Some years ago');
});

after(async () => {
  await Promise.all([...children].map(end));
  await rm(dir, { recursive: true, force: true });
});

/** Killed, and waited for; Redis and the workers of an `up` end with it. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 12_000);
  await gone;
  clearTimeout(timer);
}

function start(args: readonly string[], overrides: Readonly<Record<string, string>> = {}): ChildProcess {
  const child = spawn(process.execPath, [bin, ...args], {
    cwd: dir,
    env: { ...env, ...overrides },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

function ran(child: ChildProcess, input = ''): Promise<Ran> {
  let out = '';
  let err = '';
  child.stdout?.on('data', (data) => {
    out += data;
  });
  child.stderr?.on('data', (data) => {
    err += data;
  });
  child.stdin?.end(input);
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, out, err })));
}

const longhaul = (...args: readonly string[]) => ran(start(args));

async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const limit = Date.now() + 60_000;
  while (!(await holds())) {
    assert.ok(Date.now() < limit, `timed out waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** An `up --json` whose events are gathered. */
async function up(...args: readonly string[]) {
  const child = start(['up', '--json', ...args]);
  const events: { event: string; name?: string; pid?: number; text?: string }[] = [];
  let rest = '';
  child.stdout?.on('data', (data) => {
    const lines = (rest + data).split('\n');
    rest = lines.pop() ?? '';
    events.push(...lines.map((line) => JSON.parse(line)));
  });
  let err = '';
  child.stderr?.on('data', (data) => {
    err += data;
  });
  await until('ready', () => {
    assert.equal(child.exitCode, null, `up ended: ${err}`);
    return events.some((e) => e.event === 'ready');
  });
  return { child, events };
}

const readUp = async (data: string) => UpFile.parse(JSON.parse(await readFile(join(dir, data, 'up.json'), 'utf8')));

test('every command says how it is typed, with an example', async () => {
  const names = [
    'up',
    'submit',
    'estimate',
    'follow',
    'status',
    'result',
    'cancel',
    'doctor',
    'run',
    'tokens',
    'worker',
    'controller',
    'jobs',
    'redrive',
    'api',
  ];
  const helps = await Promise.all(names.map((name) => longhaul(name, '--help')));
  for (const [i, { code, out }] of helps.entries()) {
    assert.equal(code, 0, names[i]);
    assert.match(out, /^Examples?:$/m, names[i]);
    assert.match(out, new RegExp(`^  .*longhaul ${names[i]}`, 'm'), names[i]);
  }
});

test('a wrong command line is told in one line, with exit code 2, and as JSON where that was asked for', async () => {
  const wrong: [string[], RegExp][] = [
    [['frobnicate'], /^longhaul: invalid_argument: unknown command 'frobnicate'/],
    [['submit'], /^longhaul: invalid_argument: give one document/],
    [['submit', 'book.txt', '--top-p', '2'], /^longhaul: invalid_argument: --top-p takes .*; found 2\n$/],
    [['submit', 'http://x/y'], /found http:\/\/x\/y/],
    [['status', 'no'], /^longhaul: invalid_argument: a job id is .*; found "no"\n$/],
    [['up', '--workers', '-1'], /^longhaul: invalid_argument: --workers takes an integer from 0 to 256; found "-1"\n$/],
    [['up', '--lock-ms', '5'], /--lock-ms takes an integer from 1000/],
  ];
  await Promise.all(
    wrong.map(async ([args, message]) => {
      const { code, out, err } = await longhaul(...args);
      assert.deepEqual([code, out], [2, ''], args.join(' '));
      assert.match(err, message);
    }),
  );
  const { code, out, err } = await longhaul('status', 'no', '--json');
  assert.deepEqual([code, err], [2, '']);
  assert.equal(JSON.parse(out).error.code, 'invalid_argument');
});

test('a place where nothing ever ran, a wrong setting and a missing file are told with exit code 1', async () => {
  const nowhere = await longhaul('status', '--data', 'nowhere');
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.err, /^longhaul: invalid_config: no longhaul has run in .*nowhere: start/);
  const setting = await ran(start(['status'], { LONGHAUL_STORE: 'ftp://x' }));
  assert.deepEqual([setting.code, setting.out], [1, '']);
  assert.match(setting.err, /LONGHAUL_STORE is file:\/\/\/directory or s3:\/\/bucket\/prefix; found "ftp:\/\/x"/);
  const missing = await longhaul('submit', 'nothing.txt');
  assert.equal(missing.code, 1);
  assert.match(missing.err, /^longhaul: source_not_found: no file .*nothing.txt/);
});

test('doctor names every row with its remedy, and leaves nothing behind', async () => {
  const { out } = await longhaul('doctor', '--json', '--data', 'looked-at');
  const { checks } = JSON.parse(out) as { checks: { name: string; status: string; remedy: string | null }[] };
  const names = checks.map((check) => check.name);
  for (const name of ['node', 'redis', 'store', 'model', 'engine', 'cpu']) assert.ok(names.includes(name), name);
  for (const check of checks) assert.equal(check.remedy === null, check.status === 'ok', JSON.stringify(check));
  await assert.rejects(stat(join(dir, 'looked-at')), { code: 'ENOENT' });
  const redis = await ran(start(['doctor', '--json'], { LONGHAUL_REDIS_URL: 'redis://127.0.0.1:1' }));
  assert.equal(redis.code, 1);
  const row = JSON.parse(redis.out).checks.find((check: { name: string }) => check.name === 'redis');
  assert.equal(row.status, 'missing');
});

test('submit, status, cancel before any worker, and what is left when up is gone', { skip: noRedis }, async () => {
  const { child } = await up('--workers', '0', '--data', 'a');
  assert.equal((await stat(join(dir, 'a/up.json'))).mode & 0o777, 0o600);
  const second = await longhaul('up', '--workers', '0', '--data', 'a');
  assert.equal(second.code, 1);
  assert.match(second.err, /longhaul up runs on .* already \(process \d+\)/);

  const first = await longhaul('submit', 'book.txt', '--data', 'a', '--idempotency-key', 'k', '--max-new-tokens', '8');
  const jobId = first.out.trim();
  assert.deepEqual([first.code, first.err], [0, '']);
  assert.match(jobId, /^j[0-9a-f]{40}$/);
  const again = await longhaul(
    'submit',
    'book.txt',
    '--data',
    'a',
    '--idempotency-key',
    'k',
    '--max-new-tokens',
    '8',
    '--json',
  );
  const { kind, ...submitted } = JSON.parse(again.out);
  assert.equal(kind, 'submitted');
  assert.deepEqual(submitted, { jobId, outcome: 'existing', queue: 'told', queueError: null });
  const other = await longhaul('submit', 'book.txt', '--data', 'a', '--idempotency-key', 'k', '--max-new-tokens', '9');
  assert.equal(other.code, 1);
  assert.match(other.err, /^longhaul: job_exists: /);
  const piped = await ran(start(['submit', '-', '--task', 'score', '--data', 'a']), 'once upon a time');
  assert.equal(piped.code, 0);
  const empty = await ran(start(['submit', '-', '--data', 'a']), '');
  assert.equal(empty.code, 1);
  assert.match(empty.err, /^longhaul: source_empty: /);

  const status = JSON.parse((await longhaul('status', jobId, '--data', 'a', '--json')).out);
  assert.deepEqual([status.jobId, status.status, status.attempts], [jobId, 'queued', 0]);
  const table = (await longhaul('status', '--data', 'a')).out.trimEnd().split('\n');
  assert.equal(table.length, 3);
  const early = await longhaul('result', jobId, '--data', 'a', '--json');
  assert.equal(early.code, 1);
  assert.equal(JSON.parse(early.out).error.code, 'job_not_finished');
  const unknown = await longhaul('result', 'jnowhere0001', '--data', 'a');
  assert.match(unknown.err, /^longhaul: job_not_found: /);

  const cancelled = await longhaul('cancel', jobId, '--data', 'a', '--json');
  assert.deepEqual(JSON.parse(cancelled.out), { jobId, outcome: 'cancelled', status: 'cancelled' });
  const followed = await longhaul('follow', jobId, '--data', 'a', '--json');
  assert.equal(followed.code, 1);
  assert.equal(JSON.parse(followed.out.trim().split('\n').at(-1) ?? '').result.status, 'cancelled');

  const { pid } = await readUp('a');
  const closed = new Promise((resolve) => child.once('exit', resolve));
  process.kill(pid, 'SIGTERM');
  assert.equal(await closed, 0);
  assert.equal((await readUp('a')).running, false);
  assert.match((await longhaul('status', '--data', 'a')).out, new RegExp(`${jobId}  cancelled`));
  const stored = await longhaul('submit', 'book.txt', '--data', 'a', '--queue-wait', '0', '--json');
  assert.equal(stored.code, 3);
  const late = JSON.parse(stored.out);
  assert.deepEqual([late.outcome, late.queue], ['created', 'unreachable']);

  // The next `up` tells the queue of it.
  const next = await up('--workers', '0', '--data', 'a');
  const { redisUrl } = await readUp('a');
  const { openQueue } = await import('@longhaul/core/queue');
  const queue = openQueue({ url: redisUrl, model: 'tiny-english', onNotice: () => {} });
  await until('the doorbell', async () => (await queue.counts()).waiting === 2);
  await queue.close();
  await end(next.child);
});

/** What a worker does to a job, by hand. */
async function byHand(data: string, jobId: string) {
  const { redisUrl, storeUrl } = await readUp(data);
  const ledger = createLedger(await openStore(storeUrl));
  const live = openLiveStream({ url: redisUrl, onNotice: () => {} });
  const acquired = await ledger.acquire(jobId, 'by-hand');
  assert.equal(acquired.kind, 'lease');
  const { lease, spec } = acquired as { lease: Lease; spec: JobSpec };
  let outputCount = 0;
  return {
    emit: (records: readonly TokenRecord[]) =>
      live.append(
        jobId,
        lease.epoch,
        records.map((record) => ({ kind: 'token', ...record })),
      ),
    async commit(records: readonly TokenRecord[]) {
      outputCount += records.length;
      const zero = '0'.repeat(64);
      await lease.commit({
        pins: {
          source: { tag: 'sha256:x', bytes: 31 },
          questions: null,
          from: null,
          modelDigest: zero,
          tokenizerDigest: zero,
          chunkTokens: 16,
          engine: 'test/1',
        },
        position: {
          tokenOffset: 16 + outputCount,
          inputByteOffset: 31,
          textCursor: null,
          inputTokens: 16,
          outputCount,
          nextToken: records.at(-1)?.token ?? null,
        },
        state: {
          conv: new Float32Array(1 * 2 * 3),
          ssm: new Float32Array(1 * 2 * 4),
          shape: { nLayer: 1, dInner: 2, dConv: 4, dState: 4 },
          tokenOffset: 16 + outputCount,
          modelDigest: zero,
          tokenizerDigest: zero,
        },
        records,
        score: null,
        recomputedTokens: 0,
        busySeconds: 1,
      });
    },
    async complete(text: string) {
      const usage = { inputTokens: 16, cachedTokens: 0, outputTokens: outputCount, inputBytes: 31 };
      await lease.complete({ finishReason: 'length', usage, text, score: null, answers: null, state: null });
      await live
        .append(jobId, lease.epoch, [{ kind: 'end', status: 'done', finishReason: 'length', outputCount }])
        .catch(() => 0);
    },
    async close() {
      await live.close();
      await ledger.close();
    },
    spec,
  };
}

const records = (from: number, to: number): TokenRecord[] =>
  Array.from({ length: to - from + 1 }, (_, i) => ({
    position: from + i,
    token: from + i,
    logprob: -1,
    text: `w${from + i} `,
  }));
const textOf = (to: number) =>
  records(1, to)
    .map((record) => record.text)
    .join('');

test('follow gives every token once over a killed Redis, and the result commands give the same', {
  skip: noRedis,
}, async () => {
  const { child, events } = await up('--workers', '0', '--data', 'b');
  const { out } = await longhaul('submit', 'book.txt', '--data', 'b', '--max-new-tokens', '90');
  const jobId = out.trim();
  const worker = await byHand('b', jobId);
  try {
    const follower = start(['follow', jobId, '--data', 'b']);
    let seen = '';
    follower.stdout?.on('data', (data) => {
      seen += data;
    });
    const done = ran(follower);
    await worker.emit(records(1, 20));
    await until('the live tail', () => seen === textOf(20));
    await worker.commit(records(1, 20));

    const redis = events.findLast((e) => e.event === 'started' && e.name === 'redis');
    process.kill(redis?.pid ?? 0, 'SIGKILL');
    await worker.commit(records(21, 40));
    await until('committed output without Redis', () => seen === textOf(40));
    await until(
      'Redis to be started again',
      () => events.filter((e) => e.event === 'started' && e.name === 'redis').length === 2,
    );
    await until('the live tail', async () => {
      await worker.emit(records(41, 60)).catch(() => 0);
      return seen === textOf(60);
    });
    await worker.commit(records(41, 60));
    await worker.complete(textOf(60));
    const followed = await done;
    assert.equal(followed.code, 0, followed.err);
    assert.equal(followed.out, `${textOf(60)}\n`);
    assert.match(followed.err, new RegExp(`${jobId} succeeded \\(length\\) · 16 tokens read, 60 written`));

    const result = await longhaul('result', jobId, '--data', 'b');
    assert.deepEqual([result.code, result.out], [0, `${textOf(60)}\n`]);
    const file = await longhaul('result', jobId, '--data', 'b', '--records', '--output', 'records.jsonl');
    assert.deepEqual([file.code, file.out], [0, '']);
    const lines = (await readFile(join(dir, 'records.jsonl'), 'utf8')).trim().split('\n');
    assert.deepEqual(
      lines.map((line) => JSON.parse(line)),
      records(1, 60),
    );
    const json = JSON.parse((await longhaul('result', jobId, '--data', 'b', '--json')).out);
    assert.deepEqual([json.jobId, json.usage.outputTokens], [jobId, 60]);
  } finally {
    await worker.close();
  }

  // Killed without a word: Redis must not stay behind.
  const redis = events.findLast((e) => e.event === 'started' && e.name === 'redis')?.pid ?? 0;
  const identity = (await processStart(redis)) ?? 'gone';
  assert.notEqual(identity, 'gone');
  child.kill('SIGKILL');
  await until('Redis to end with its parent', async () => !(await isRunning(redis, identity)));
  const after = await longhaul('follow', jobId, '--data', 'b', '--after', '58');
  assert.equal(after.out, 'w59 w60 \n');
});

test('one machine out of the box: up, a worker, an answer; and no worker outlives a killed up', {
  skip: noRedis,
}, async (t) => {
  const main = fileURLToPath(import.meta.resolve('@longhaul/worker/main'));
  try {
    execFileSync(process.execPath, [main, 'probe', '--json'], { env: env as NodeJS.ProcessEnv, stdio: 'pipe' });
  } catch (error) {
    t.skip(`the engine does not load: ${String(error).slice(0, 200)}`);
    return;
  }
  const { child } = await up('--data', 'c');
  const { code, out, err } = await longhaul(
    'submit',
    'book.txt',
    '--data',
    'c',
    '--max-new-tokens',
    '12',
    '--follow',
    '--json',
  );
  assert.equal(code, 0, err);
  const events = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal(events[0].kind, 'submitted');
  const positions = events.filter((e) => e.kind === 'record').map((e) => e.record.position);
  assert.deepEqual(
    positions,
    Array.from({ length: 12 }, (_, i) => i + 1),
  );
  assert.equal(events.at(-1).result.status, 'succeeded');
  const straight = await longhaul('run', 'book.txt', '--max-new-tokens', '12', '--json');
  assert.equal(JSON.parse(straight.out).text, events.at(-1).result.text);

  const worker = (await readUp('c')).workers[0]?.pid ?? 0;
  const identity = (await processStart(worker)) ?? 'gone';
  child.kill('SIGKILL');
  await until('the worker to end with its parent', async () => !(await isRunning(worker, identity)));
});
