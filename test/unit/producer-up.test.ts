import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '@longhaul/producer';
import { parseConfig } from '../../producer/config.ts';
import { startChild } from '../../producer/up/child-run.ts';
import { isRunning, processStart } from '../../producer/up/process-identity.ts';
import { type Exit, type Run, restartDelayMs, type SuperviseEvent, supervise } from '../../producer/up/supervise.ts';
import { readUpFile, writeUpFile } from '../../producer/up/up-file.ts';
import { takeUpLock } from '../../producer/up/up-lock.ts';
import { workerEnv } from '../../producer/up/worker-env.ts';
import { plainLogLine } from '../../producer/up/worker-log.ts';

async function inFolder(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-up-'));
  try {
    await work(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

test('a wrong setting names itself, what it may be and what was found; a password is not repeated', () => {
  assert.throws(() => parseConfig({ LONGHAUL_STORE: 'http://x' }), {
    code: 'invalid_config',
    message: 'LONGHAUL_STORE is file:///directory or s3://bucket/prefix; found "http://x"',
  });
  assert.throws(
    () => parseConfig({ LONGHAUL_REDIS_URL: 'http://:secret@x' }),
    (e: Error) => !e.message.includes('secret'),
  );
  assert.throws(
    () => parseConfig({ LONGHAUL_S3_FORCE_PATH_STYLE: 'yes' }),
    /LONGHAUL_S3_FORCE_PATH_STYLE is 0 or 1; found "yes"/,
  );
  assert.equal(parseConfig({ LONGHAUL_REDIS_URL: '' }).redisUrl, null);
});

const upFile = {
  v: 1 as const,
  pid: 1,
  start: 'boot/1',
  running: true,
  redisUrl: 'redis://:p@127.0.0.1:1',
  storeUrl: 'file:///x',
  model: 'tiny-english',
  modelDir: '/m',
  apiUrl: null,
  workers: [{ id: 'w1', pid: 2 }],
};

test('one up a directory: of many that start at once exactly one gets it, and it is free after its end', () =>
  inFolder(async (dir) => {
    // What a killed `up` leaves behind: its pid belongs to a process that started at another time.
    await writeUpFile(dir, { ...upFile, pid: process.pid });
    const taken = await Promise.allSettled(Array.from({ length: 12 }, () => takeUpLock(dir)));
    const locks = taken.flatMap((t) => (t.status === 'fulfilled' ? [t.value] : []));
    assert.equal(locks.length, 1);
    await assert.rejects(takeUpLock(dir), { code: 'invalid_config', message: /runs on .* already/ });
    await locks[0]?.release();
    await (await takeUpLock(dir)).release();
  }));

test('an up that only up.json tells of is respected while its process lives', () =>
  inFolder(async (dir) => {
    await writeUpFile(dir, { ...upFile, pid: process.pid, start: (await processStart(process.pid)) ?? '' });
    await assert.rejects(takeUpLock(dir), { code: 'invalid_config', message: new RegExp(`process ${process.pid}`) });
  }));

test('a process is known by its pid and its start', async () => {
  const start = await processStart(process.pid);
  assert.ok(start !== null && (await isRunning(process.pid, start)));
  assert.equal(await processStart(2 ** 22 + 1), null);
});

test('up.json is whole, private, and refused where it is not ours', () =>
  inFolder(async (dir) => {
    assert.equal(await readUpFile(dir), null);
    await writeUpFile(dir, upFile);
    assert.deepEqual(await readUpFile(dir), upFile);
    assert.equal((await stat(join(dir, 'up.json'))).mode & 0o777, 0o600);
    await writeFile(join(dir, 'up.json'), '{}');
    await assert.rejects(readUpFile(dir), { code: 'invalid_config', message: /remove it/ });
  }));

test('the settings of a worker: the place, the given options, and the cores shared among the workers', () => {
  const place = { redisUrl: 'redis://r', storeUrl: 'file:///s', modelDir: '/m/tiny', model: 'tiny', workers: 2 };
  const env = workerEnv({ PATH: '/bin', LONGHAUL_STORE: 'old' }, place, 'w2', { commitSeconds: '0.5' }, 8);
  assert.deepEqual(env, {
    PATH: '/bin',
    LONGHAUL_THREADS: '4',
    LONGHAUL_COMMIT_SECONDS: '0.5',
    LONGHAUL_REDIS_URL: 'redis://r',
    LONGHAUL_STORE: 'file:///s',
    LONGHAUL_MODEL: '/m/tiny',
    LONGHAUL_MODEL_NAME: 'tiny',
    LONGHAUL_WORKER_ID: 'w2',
    LONGHAUL_PARENT_PIPE: '1',
  });
  assert.throws(() => workerEnv({}, place, 'w1', { lockMs: '5' }), {
    code: 'invalid_argument',
    message: '--lock-ms takes an integer from 1000 to 3600000; found "5"',
  });
});

test('restarts wait longer with each failure in a row, up to half a minute', () => {
  assert.deepEqual([1, 2, 3, 7, 100].map(restartDelayMs), [500, 1000, 2000, 30_000, 30_000]);
});

test('a program that ends is started again, and ends with the signal', async () => {
  const events: SuperviseEvent[] = [];
  const stop = new AbortController();
  const sleeps: number[] = [];
  let starts = 0;
  const start = async (): Promise<Run> => {
    starts += 1;
    if (starts === 2) throw new Error('no such file');
    if (starts === 4) setImmediate(() => stop.abort());
    let leave: (exit: Exit) => void = () => {};
    const exited = starts < 4 ? Promise.resolve({ code: 1, signal: null }) : new Promise<Exit>((r) => (leave = r));
    return { pid: starts, exited, stop: () => leave({ code: 0, signal: null }), kill: () => {} };
  };
  const clock = { ...systemClock, sleep: async (ms: number) => void sleeps.push(ms) };
  const patient = {
    ...clock,
    sleep: (ms: number, signal: AbortSignal) => (ms === 99 ? systemClock.sleep(ms, signal) : clock.sleep(ms)),
  };
  await supervise({
    name: 'w1',
    start,
    signal: stop.signal,
    clock: patient,
    graceMs: 99,
    onEvent: (e) => events.push(e),
  });
  assert.deepEqual(
    events.map((e) => e.event),
    ['started', 'exited', 'failed', 'started', 'exited', 'started', 'stopped'],
  );
  assert.deepEqual(sleeps, [500, 1000, 2000]);
  assert.deepEqual(events.at(-1), { event: 'stopped', name: 'w1', killed: false });
});

test('a program that does not end in time is killed', async () => {
  const stop = new AbortController();
  const events: SuperviseEvent[] = [];
  const deaf = "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('here')";
  await supervise({
    name: 'deaf',
    start: () =>
      startChild({
        command: process.execPath,
        args: ['-e', deaf],
        env: process.env,
        cwd: tmpdir(),
        onLine: () => stop.abort(),
      }),
    signal: stop.signal,
    clock: systemClock,
    graceMs: 100,
    onEvent: (e) => events.push(e),
  });
  assert.deepEqual(events.at(-1), { event: 'stopped', name: 'deaf', killed: true });
});

test("a child's input ends when its parent is killed", async () => {
  const module = new URL('../../producer/up/child-run.ts', import.meta.url).href;
  const child = `process.stdin.on('end', () => process.exit(0)).resume(); console.log('pid ' + process.pid)`;
  const parent = `
    const { startChild } = await import(${JSON.stringify(module)});
    await startChild({ command: process.execPath, args: ['-e', ${JSON.stringify(child)}], env: process.env, cwd: '/',
      onLine: (line) => console.log(line) });`;
  const running = spawn(process.execPath, ['--input-type=module', '-e', parent], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = await new Promise<number>((resolve) => {
    running.stdout.on('data', (data) => {
      const found = /pid (\d+)/.exec(String(data));
      if (found !== null) resolve(Number(found[1]));
    });
  });
  const start = (await processStart(pid)) ?? 'gone';
  running.kill('SIGKILL');
  const until = Date.now() + 5000;
  while ((await isRunning(pid, start)) && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(await isRunning(pid, start), false);
});

test("a worker's log is plain lines", () => {
  const entry = { level: 40, time: 't', worker: 'w1', msg: 'waiting for the store', reason: 'no answer', tries: 2 };
  assert.equal(plainLogLine(JSON.stringify(entry)), 'warn  waiting for the store reason=no answer tries=2');
  assert.equal(plainLogLine('Segmentation fault'), 'Segmentation fault');
});
