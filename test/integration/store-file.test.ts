import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type ObjectStore, openStore } from '@longhaul/core/ledger';
import { openFileStore } from '../../core/ledger/file-store.ts';
import { bytesOf, coded, pieces, refused, storeConformance, textOf } from './store-conformance.ts';

const root = await fs.mkdtemp(join(tmpdir(), 'longhaul-store-'));
after(async () => await fs.rm(root, { recursive: true, force: true }));
const dirs = () => fs.mkdtemp(join(root, 's-'));
const small = { maxBytes: 1024 * 1024 };
const errno = (code: string) => Object.assign(new Error(`${code}: injected`), { code });

storeConformance('file', () => openStore(pathToFileURL(join(root, 'shared')).href));

const incrementer = fileURLToPath(new URL('../support/store-incrementer.ts', import.meta.url));

/** A process that adds to a counter by compare-and-swap and prints each value it made. */
function startIncrementer(
  dir: string,
  times: number,
): { child: ChildProcess; made: number[]; closed: Promise<unknown[]> } {
  const child = spawn(process.execPath, [incrementer, pathToFileURL(dir).href, String(times)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const made: number[] = [];
  let rest = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    made.push(...lines.map(Number));
  });
  return { child, made, closed: once(child, 'close') };
}

test('file: processes that are killed or stopped midway lose no update and block nobody', async (t) => {
  const dir = await dirs();
  const store = await openStore(pathToFileURL(dir).href);
  await store.putIfAbsent('counter', bytesOf('0'));
  const killed = startIncrementer(dir, 1_000_000);
  const stopped = startIncrementer(dir, 1_000_000);
  const steady = [startIncrementer(dir, 60), startIncrementer(dir, 60)];
  t.after(() => {
    for (const { child } of [killed, stopped, ...steady]) child.kill('SIGKILL');
  });
  while (killed.made.length < 5 || stopped.made.length < 5) await new Promise((resolve) => setTimeout(resolve, 5));
  killed.child.kill('SIGKILL');
  stopped.child.kill('SIGSTOP');
  for (const [code] of await Promise.all(steady.map((one) => one.closed))) assert.equal(code, 0);
  const before = Number(textOf((await store.get('counter', small))!.body));
  stopped.child.kill('SIGCONT');
  while (Number(textOf((await store.get('counter', small))!.body)) < before + 3) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  stopped.child.kill('SIGKILL');
  await Promise.all([killed.closed, stopped.closed]);
  const last = Number(textOf((await store.get('counter', small))!.body));
  const made = [killed, stopped, ...steady].flatMap((one) => one.made);
  assert.equal(new Set(made).size, made.length, 'no value was made twice');
  // A killed process may have made one value that it could not print any more.
  assert.ok(
    last - made.length >= 0 && last - made.length <= 2,
    `${made.length} values printed, the counter is ${last}`,
  );
});

test('file: a writer that slept through later versions is refused, however its sleep fell', async () => {
  const dir = await dirs();
  const awake = await openStore(pathToFileURL(dir).href);
  let wake: () => void = () => {};
  let asleep: () => void = () => {};
  const sleeping = new Promise<void>((resolve) => {
    asleep = resolve;
  });
  const sleeper = await openFileStore(dir, {
    fs: {
      ...fs,
      link: async (from, to) => {
        asleep();
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        await fs.link(from, to);
      },
    },
  });
  let { etag } = await awake.putIfAbsent('head', bytesOf('1'));
  const late = sleeper.putIfMatch('head', bytesOf('from the past'), etag);
  await sleeping;
  for (let version = 2; version <= 6; version++) {
    etag = (await awake.putIfMatch('head', bytesOf(`${version}`), etag)).etag;
  }
  wake();
  await assert.rejects(late, refused);
  assert.equal(textOf((await awake.get('head', small))?.body), '6');
});

test('file: superseded versions take no space, and the plain path shows the newest one', async () => {
  const dir = await dirs();
  const store = await openStore(pathToFileURL(dir).href);
  let { etag } = await store.putIfAbsent('jobs/j/head.json', bytesOf('1'.padEnd(4096)));
  for (let version = 2; version <= 30; version++) {
    etag = (await store.putIfMatch('jobs/j/head.json', bytesOf(`${version}`.padEnd(4096)), etag)).etag;
  }
  const versions = join(dir, 'jobs/j/.head.json');
  const sizes = await Promise.all(
    (await fs.readdir(versions)).map(async (f) => (await fs.stat(join(versions, f))).size),
  );
  assert.deepEqual([sizes.length, sizes.reduce((sum, size) => sum + size, 0)], [29, 4096]);
  assert.match(await fs.readFile(join(dir, 'jobs/j/head.json'), 'utf8'), /^30 /);
  assert.deepEqual(await fs.readdir(join(dir, '.tmp')), []);
  await store.delete('jobs/j/head.json');
  assert.deepEqual(await fs.readdir(join(dir, 'jobs/j')), []);
});

test('file: a full disk is store_full, other trouble has its own code, and nothing half-written is seen', async () => {
  const dir = await dirs();
  let fault: string | null = null;
  const store = await openFileStore(dir, {
    fs: {
      ...fs,
      open: async (file, ...rest) => {
        const handle = await fs.open(file, ...rest);
        if (fault === null || rest[0] !== 'wx') return handle;
        const code = fault;
        handle.sync = () => Promise.reject(errno(code));
        return handle;
      },
    },
  });
  const { etag } = await store.putIfAbsent('head', bytesOf('kept'));
  for (const [code, expected] of [
    ['ENOSPC', 'store_full'],
    ['EDQUOT', 'store_full'],
    ['EACCES', 'store_denied'],
    ['EROFS', 'store_denied'],
    ['EIO', 'store_unavailable'],
  ] as const) {
    fault = code;
    const writes: ((on: ObjectStore) => Promise<unknown>)[] = [
      (on) => on.putIfAbsent('new', bytesOf('x')),
      (on) => on.putIfMatch('head', bytesOf('x'), etag),
      (on) => on.putStreamIfAbsent('new', pieces(bytesOf('x'))),
    ];
    for (const write of writes) {
      await assert.rejects(write(store), (error: Error & { disposition?: string }) => {
        assert.match(error.message, new RegExp(code));
        assert.equal(error.disposition, 'retry');
        return coded(expected)(error);
      });
    }
  }
  fault = null;
  assert.deepEqual(await fs.readdir(join(dir, '.tmp')), []);
  assert.equal(await store.get('new', small), null);
  assert.equal(textOf((await store.get('head', small))?.body), 'kept');
});

test('file: a disk that is really full is store_full', async (t) => {
  const dir = await dirs();
  const mount = spawn('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', dir], { stdio: 'ignore' });
  const code = await once(mount, 'close').then(
    ([status]) => status as number,
    () => -1,
  );
  if (code !== 0) return t.skip('a tmpfs cannot be mounted here (it takes root)');
  try {
    const store = await openStore(pathToFileURL(dir).href);
    await assert.rejects(store.putIfAbsent('big', new Uint8Array(2 * 1024 * 1024)), coded('store_full'));
    await store.putIfAbsent('small', new Uint8Array(1024));
    assert.equal(await store.get('big', small), null);
  } finally {
    await once(spawn('umount', [dir], { stdio: 'ignore' }), 'close');
  }
});

test('file: leftovers of killed writers are swept a day later, and not before', async () => {
  const dir = await dirs();
  await openStore(pathToFileURL(dir).href);
  const [old, young] = [join(dir, '.tmp/old'), join(dir, '.tmp/young')];
  await fs.writeFile(old, 'x');
  await fs.writeFile(young, 'x');
  const longAgo = Date.now() / 1000 - 25 * 3600;
  await fs.utimes(old, longAgo, longAgo);
  await openStore(pathToFileURL(dir).href);
  assert.deepEqual(await fs.readdir(join(dir, '.tmp')), ['young']);
});

test('a store that is neither file:// nor s3:// is refused, naming what was found', async () => {
  for (const url of ['ftp://x/y', '/plain/path', 'file://host/x', 's3://UPPER/x', 's3:///x', '']) {
    await assert.rejects(openStore(url), (error: Error) => {
      assert.ok(error.message.includes(JSON.stringify(url)), error.message);
      return coded('invalid_config')(error);
    });
  }
  await assert.rejects(
    openStore('s3://bucket', { budgetMs: -1 }),
    (error: Error) => /budgetMs/.test(error.message) && coded('invalid_config')(error),
  );
});
