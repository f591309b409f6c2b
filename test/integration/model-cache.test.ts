import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { mkdtemp, open, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { parseEnvironment } from '@longhaul/core/contracts';
import { openStore } from '@longhaul/core/ledger';
import {
  ModelCache,
  modelSettings,
  type ObtainEvent,
  type ObtainOptions,
  obtainModel,
  obtainWhole,
  parseModelReference,
  type RemoteReference,
  transferOptions,
} from '@longhaul/core/models';
import { z } from 'zod';
import { waitFor } from '../support/cluster.ts';
import { contents, MiB, makeModel, pushDirectory } from '../support/models.ts';
import { mountSmall, unmountSmall } from '../support/small-disk.ts';
import { coded } from './store-conformance.ts';

const dir = await mkdtemp(join(tmpdir(), 'longhaul-cache-'));
after(() => rm(dir, { recursive: true, force: true }));
const signal = new AbortController().signal;
const beats = { everyMs: 50, staleMs: 2000 };
let count = 0;

/** Three models of about 2 MiB, a, b and c, in a store, and a cache that holds two of them. */
async function world(limitMiB: number | null = 5, cacheBeats = beats) {
  const at = join(dir, String(++count));
  const events: ObtainEvent[] = [];
  const references: Record<string, RemoteReference> = {};
  const digests: Record<string, string> = {};
  for (const name of ['a', 'b', 'c']) {
    const url = pathToFileURL(join(at, 'store', name)).href;
    const store = await openStore(url);
    digests[name] = (await pushDirectory(store, await makeModel(join(at, name), `${count}${name}`, [2 * MiB]))).digest;
    await store.close();
    references[name] = parseModelReference(url) as RemoteReference;
  }
  const cache = { dir: join(at, 'cache'), limitBytes: limitMiB === null ? null : limitMiB * MiB, beats: cacheBeats };
  const options: ObtainOptions = {
    store: {},
    transfer: { hub: { endpoint: 'http://127.0.0.1:1', token: null }, cache, inFlight: 2, threads: 0 },
    signal,
    onEvent: (event) => void events.push(event),
  };
  const obtain = (name: string) => obtainWhole(references[name]!, options);
  const held = async () => {
    const names = await readdir(cache.dir);
    return Object.keys(digests).filter((name) => names.includes(digests[name]!));
  };
  return { at, cache, options, obtain, held, events, digests, references };
}

/** As if it was used so many seconds ago. */
async function usedBefore(seconds: number, path: string): Promise<void> {
  const then = new Date(Date.now() - seconds * 1000);
  await utimes(join(path, 'model.json'), then, then);
}

test('what was used longest ago makes room', async () => {
  const { obtain, held, digests, cache, events } = await world();
  await obtain('a');
  await obtain('b');
  await usedBefore(100, join(cache.dir, digests['b']!));
  await usedBefore(50, join(cache.dir, digests['a']!));
  await obtain('c');
  assert.deepEqual(await held(), ['a', 'c']);
  assert.deepEqual(
    events.filter(({ kind }) => kind === 'removed'),
    [{ kind: 'removed', digest: digests['b'] }],
  );
  assert.equal((await obtain('a')).how, 'cached');
});

test('what is in use stays, whoever else wants room; what was left by a process that is gone does not', async () => {
  const { obtain, held, digests, cache } = await world();
  await obtain('a');
  await obtain('b');
  await usedBefore(100, join(cache.dir, digests['a']!));
  const opened = await ModelCache.open(cache);
  const release = await opened.use(digests['a']!);
  await usedBefore(100, join(cache.dir, digests['a']!));
  await obtain('c');
  assert.deepEqual(await held(), ['a', 'c']);
  // In use on one side and on the other: nothing can go.
  const other = await opened.use(digests['c']!);
  await assert.rejects(obtain('b'), coded('store_full'));
  await other();
  await release();
  const dead = join(cache.dir, '.use', `${digests['a']}.gone`);
  await writeFile(dead, '');
  await utimes(dead, 1, 1);
  await usedBefore(100, join(cache.dir, digests['a']!));
  await obtain('b');
  assert.deepEqual(await held(), ['b', 'c']);
});

test('a model above the limit is refused with both numbers', async () => {
  const { obtain } = await world(1);
  await assert.rejects(obtain('a'), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'invalid_config');
    assert.match(error.message, /LONGHAUL_MODEL_CACHE_GIB: the model has 2\d+ bytes, the cache may have 1048576/);
    return true;
  });
});

test('a disk without room is told with what is needed and what is free', async () => {
  const { cache } = await world(null);
  const opened = await ModelCache.open(cache);
  await assert.rejects(opened.makeRoom('0'.repeat(64), 2 ** 60), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'store_full');
    assert.match(error.message, /the model needs 1152921504606847000 bytes in .*, where \d+ bytes are free/);
    return true;
  });
});

test('a disk that fills up while a model comes says so, and with room the model comes', async (t) => {
  const small = mountSmall(4 * MiB);
  if ('reason' in small) return t.skip(small.reason);
  try {
    const { references, options, at } = await world(null);
    const cache = { ...options.transfer.cache, dir: join(small.dir, 'cache') };
    const transfer = { ...options.transfer, cache };
    await writeFile(join(small.dir, 'ballast'), Buffer.alloc(3 * MiB));
    await assert.rejects(
      obtainWhole(references['a']!, { ...options, transfer }),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'store_full');
        assert.match(error.message, /the model needs 2\d{6} bytes in .*, where \d+ bytes are free/);
        return true;
      },
    );
    // Room at the first look, and none when the bytes come.
    await rm(join(small.dir, 'ballast'));
    let filled = false;
    const onEvent = ({ kind }: ObtainEvent) => {
      if (kind !== 'progress' || filled) return;
      filled = true;
      try {
        writeFileSync(join(small.dir, 'ballast'), Buffer.alloc(4 * MiB));
      } catch {
        // All that there was is taken.
      }
    };
    const full = obtainWhole(references['a']!, { ...options, transfer: { ...transfer, inFlight: 1 }, onEvent });
    await assert.rejects(full, (error: Error & { code?: string }) => {
      assert.equal(error.code, 'store_full', error.message);
      assert.match(error.message, /no space left while writing .* \(ENOSPC\)/);
      return true;
    });
    await rm(join(small.dir, 'ballast'));
    const got = await obtainWhole(references['a']!, { ...options, transfer });
    assert.equal(got.how, 'pulled');
    assert.deepEqual(await contents(join(cache.dir, got.digest)), await contents(join(at, 'a')));
  } finally {
    unmountSmall(small.dir);
  }
});

test('weights that are wrong are refused after the small files came, once, and leave no lock', async () => {
  // An attempt takes far less than that, also on a slow machine.
  const patient = { ...beats, staleMs: 30_000 };
  const { at, obtain, digests, cache } = await world(null, patient);
  const store = join(at, 'store', 'a', 'files');
  const files = await readdir(store);
  const sizes = await Promise.all(files.map(async (name) => [(await stat(join(store, name))).size, name] as const));
  const weights = sizes.sort(([a], [b]) => b - a)[0]![1];
  const file = await open(join(store, weights), 'r+');
  await file.write(Buffer.alloc(16), 0, 16, MiB + 7);
  await file.close();
  for (const attempt of [1, 2]) {
    const started = performance.now();
    await assert.rejects(obtain('a'), coded('model_corrupt'), `attempt ${attempt}`);
    assert.ok(
      performance.now() - started < patient.staleMs,
      'the second attempt need not wait for the first to go stale',
    );
  }
  assert.ok(!(await readdir(cache.dir)).includes(digests['a']!));
});

test('a second taker waits, and takes over from one that is gone', async () => {
  const { references, options, obtain, digests, cache, at } = await world(null);
  const holder = await ModelCache.open(cache);
  const lock = (await holder.lock(digests['a']!))!;
  assert.equal(await holder.lock(digests['a']!), null);
  let over = false;
  const waiting = obtain('a').then((got) => {
    over = true;
    return got;
  });
  await new Promise((resolve) => setTimeout(resolve, 2 * beats.staleMs));
  assert.equal(over, false, 'a holder that beats is waited for');
  await lock.release();
  assert.equal((await waiting).how, 'pulled');
  assert.deepEqual(await contents(join(cache.dir, digests['a']!)), await contents(join(at, 'a')));

  // A holder that no longer moves: its number stands, and its time runs out.
  const locks = join(cache.dir, '.lock', digests['b']!);
  const dead = (await holder.lock(digests['b']!))!;
  const after = obtain('b');
  // What keeps it alive ends without a release, as a process does that is killed.
  const [number] = await readdir(locks);
  await rm(join(locks, number!));
  await (await open(join(locks, '7'), 'wx')).close();
  assert.equal((await after).how, 'pulled');
  await new Promise<void>((resolve) => {
    if (dead.lost.aborted) resolve();
    else dead.lost.addEventListener('abort', () => resolve());
  });
  assert.equal((await obtainModel(references['b']!, options)).how, 'cached');
});

test('a model that was published and never synced before the machine went down is hashed before it is used', async () => {
  const { obtain, events, digests, cache } = await world(null);
  await obtain('a');
  const path = join(cache.dir, digests['a']!);
  const weights = join(path, (await readdir(path)).find((name) => name.endsWith('.safetensors'))!);
  const file = await open(weights, 'r+');
  await file.write(Buffer.alloc(4096), 0, 4096, MiB);
  await file.close();
  const state = join(path, '.state.json');
  // The disk is waited for behind the answer, and is told here last.
  const synced = async () => ((await readFile(state, 'utf8')).includes('"synced":true') ? true : null);
  await waitFor(synced, 30_000, () => `${state} to say that the disk has the model`);
  await writeFile(state, JSON.stringify({ boot: 'another', synced: false }));
  const again = await obtain('a');
  assert.equal(again.how, 'pulled');
  assert.match(JSON.stringify(events), /"kind":"damaged".*has sha256 [0-9a-f]{64}; expected/);

  // One that is whole is used, and marked.
  await waitFor(synced, 30_000, () => `${state} to say that the disk has the model`);
  await writeFile(state, JSON.stringify({ boot: 'another', synced: false }));
  assert.equal((await obtain('a')).how, 'cached');
  assert.equal(await synced(), true);
});

test('a version that is named by its digest needs no store once it is there', async () => {
  const { obtain, references, digests, options, at } = await world(null);
  await obtain('a');
  await rm(join(at, 'store'), { recursive: true });
  const pinned = { ...references['a']!, digest: digests['a'] } as RemoteReference;
  assert.equal((await obtainWhole(pinned, options)).how, 'cached');
  await assert.rejects(obtain('a'), coded('model_not_found'));
});

test('a user without a home names the cache: models are not kept where others may write', async () => {
  const { options, references } = await world(null);
  const transferOf = (env: Record<string, string>) =>
    transferOptions(parseEnvironment(z.object(modelSettings), env), env);
  assert.equal(transferOf({ HOME: '/home/reader' }).cache.dir, '/home/reader/.cache/longhaul/models');
  assert.equal(transferOf({ HOME: '/', XDG_CACHE_HOME: '/c' }).cache.dir, '/c/longhaul/models');
  assert.equal(transferOf({ LONGHAUL_MODEL_CACHE: '/models' }).cache.dir, '/models');
  const transfer = { ...options.transfer, cache: transferOf({}).cache };
  await assert.rejects(obtainModel(references['a']!, { ...options, transfer }), {
    code: 'invalid_config',
    message: 'LONGHAUL_MODEL_CACHE is not set, and there is no HOME to keep models in',
  });
});
