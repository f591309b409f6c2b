import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { type ObjectStore, openStore, type StoreOptions } from '@longhaul/core/ledger';
import {
  currentVersion,
  listVersions,
  parseModelReference,
  pullInto,
  type RemoteReference,
  readManifest,
  resolveModel,
} from '@longhaul/core/models';
import { contents, MiB, makeModel, pushDirectory } from '../support/models.ts';
import { startS3Server } from '../support/s3-server/index.ts';
import { coded } from './store-conformance.ts';

const server = await startS3Server();
const dir = await mkdtemp(join(tmpdir(), 'longhaul-models-'));
after(async () => {
  await server.close();
  await rm(dir, { recursive: true, force: true });
});
afterEach(() => server.faults.clear());

const { accessKeyId, secretAccessKey, region } = server;
const options: StoreOptions = {
  ...{ endpoint: server.url, region, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } },
  ...{ budgetMs: 30_000, attemptTimeoutMs: 5000 },
};
const signal = new AbortController().signal;
const hub = { endpoint: 'http://127.0.0.1:1', token: null };
const shards = [2 * MiB + 5, 3 * MiB];
let count = 0;

const resolved = (url: string) =>
  resolveModel(parseModelReference(url) as RemoteReference, { store: options, hub, signal });
const pull = async (url: string, into: string, threads = 0) =>
  await pullInto(into, await resolved(url), { inFlight: 4, threads, signal });

async function versionsOf(store: ObjectStore): Promise<string[]> {
  const all: string[] = [];
  for await (const digest of listVersions(store)) all.push(digest);
  return all;
}

/** A place of its own in the store. */
async function place<T>(work: (place: { url: string; store: ObjectStore; model: string; at: string }) => Promise<T>) {
  count += 1;
  const at = join(dir, String(count));
  const url = `s3://${server.bucket}/models/m${count}`;
  const store = await openStore(url, options);
  try {
    return await work({ url, store, at, model: await makeModel(join(at, 'model'), `seed ${count}`, shards) });
  } finally {
    await store.close();
  }
}

for (const kind of ['s3', 'file'] as const) {
  test(`${kind}: what is pushed is pulled, byte for byte, and two versions live side by side`, async () => {
    await place(async ({ at, model, ...s3 }) => {
      const url = kind === 's3' ? s3.url : pathToFileURL(join(at, 'store')).href;
      const store = kind === 's3' ? s3.store : await openStore(url);
      const first = await pushDirectory(store, model);
      assert.equal(first.sentBytes, first.bytes);
      assert.equal(first.moved, true);
      const again = await pushDirectory(store, model);
      assert.deepEqual([again.digest, again.sentBytes, again.moved], [first.digest, 0, false]);

      const before = await contents(model);
      const files = first.manifest.files.map(({ name, parts }) => [name, parts.length]);
      assert.deepEqual(files, [
        ['config.json', 1],
        [`model-00001-of-00002.safetensors`, 3],
        ['model-00002-of-00002.safetensors', 3],
        ['tokenizer.json', 1],
      ]);
      await writeFile(join(model, 'config.json'), '{"model_type":"mamba"}');
      const second = await pushDirectory(store, model);
      assert.ok(second.sentBytes < 1000, `weights that are there are not sent again: ${second.sentBytes} bytes were`);
      assert.equal(await currentVersion(store), second.digest);
      const versions = (await versionsOf(store)).sort();
      assert.deepEqual(versions, [first.digest, second.digest].sort());

      await pull(url, join(at, 'now'));
      assert.deepEqual(await contents(join(at, 'now')), await contents(model));
      const pulled = await pull(`${url}@${first.digest}`, join(at, 'then'));
      assert.deepEqual(await contents(join(at, 'then')), before);
      assert.equal(pulled.fetchedBytes, pulled.bytes);
      assert.equal((await pull(`${url}@${first.digest}`, join(at, 'then'))).fetchedBytes, 0);
      await store.close();
    });
  });
}

test('threads of their own bring the same bytes', async () => {
  await place(async ({ url, store, model, at }) => {
    await pushDirectory(store, model);
    await pull(url, join(at, 'pulled'), 2);
    assert.deepEqual(await contents(join(at, 'pulled')), await contents(model));
  });
});

test('parts live through 503s, resets, truncated bodies and a flipped bit', async () => {
  await place(async ({ url, store, model, at }) => {
    await pushDirectory(store, model);
    const faults = (
      ['slow-down-503', 'internal-500', 'reset', 'truncate-body', 'flip-bit', 'truncate-body'] as const
    ).map((action, i) =>
      server.faults.add({ match: { operation: 'GetObject', keyIncludes: '/files/', skip: i, times: 1 }, action }),
    );
    await pull(url, join(at, 'pulled'));
    for (const fault of faults) assert.equal(fault.hits, 1);
    assert.deepEqual(await contents(join(at, 'pulled')), await contents(model));
  });
});

test('a part that stays wrong is refused with the file, the expected and the found digest', async () => {
  await place(async ({ url, store, model, at }) => {
    const { manifest } = await pushDirectory(store, model);
    const file = manifest.files.find(({ name }) => name.endsWith('1-of-00002.safetensors'))!;
    server.faults.add({ match: { operation: 'GetObject', keyIncludes: file.sha256 }, action: 'flip-bit' });
    await assert.rejects(pull(url, join(at, 'pulled')), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'model_corrupt');
      assert.match(
        error.message,
        /model-00001-of-00002\.safetensors .*part \d .*has sha256 [0-9a-f]{64}; expected [0-9a-f]{64}/,
      );
      assert.ok(file.parts.some((part) => error.message.endsWith(part)));
      return true;
    });
    assert.ok(!(await readdir(at)).includes('pulled'), 'nothing that is not whole appears');
  });
});

test('an object that another one replaces while it is read is refused', async () => {
  await place(async ({ url, store, model, at }) => {
    const { manifest } = await pushDirectory(store, model);
    const { name, sha256, bytes } = manifest.files.find((file) => file.bytes === 3 * MiB)!;
    const wanted = await resolved(url);
    const stalled = server.faults.add({
      match: { operation: 'GetObject', keyIncludes: sha256, skip: 1, times: 1 },
      action: 'stall',
    });
    const pulling = pullInto(join(at, 'pulled'), wanted, { inFlight: 1, threads: 0, signal });
    await stalled.hit;
    await store.delete(`files/${sha256}`);
    await store.putIfAbsent(`files/${sha256}`, Buffer.alloc(bytes, 7));
    server.faults.release();
    await assert.rejects(pulling, (error: Error & { code?: string }) => {
      assert.equal(error.code, 'source_changed', error.message);
      assert.ok(error.message.includes(sha256), `${name} is not in: ${error.message}`);
      return true;
    });
  });
});

test('a pull that is broken off at any point is gone on with', async () => {
  await place(async ({ url, store, model, at }) => {
    await pushDirectory(store, model);
    const wanted = await resolved(url);
    const into = join(at, 'pulled');
    let had = 0;
    for (const enough of [1, 2, 3]) {
      const stop = new AbortController();
      const pulling = pullInto(into, wanted, {
        ...{ inFlight: 2, threads: 0, signal: stop.signal },
        onProgress: ({ fetched, kept }) => {
          had = fetched + kept;
          if (had > enough * MiB) stop.abort(new Error('broken off'));
        },
      });
      await assert.rejects(pulling, /broken off/);
    }
    const last = await pullInto(into, wanted, { inFlight: 2, threads: 0, signal });
    assert.ok(
      last.fetchedBytes < last.bytes - 3 * MiB,
      `${last.fetchedBytes} of ${last.bytes} bytes were brought again`,
    );
    assert.ok(last.fetchedBytes <= last.bytes - had, `${last.fetchedBytes} of ${last.bytes} bytes; ${had} were there`);
    assert.deepEqual(await contents(into), await contents(model));
  });
});

test('what an attempt at another version left is no part of this one', async () => {
  await place(async ({ url, store, model, at }) => {
    const first = await pushDirectory(store, model);
    const stop = new AbortController();
    const onProgress = () => stop.abort(new Error('broken off'));
    const other = pullInto(join(at, 'pulled'), await resolved(url), {
      ...{ inFlight: 1, threads: 0, signal: stop.signal, onProgress },
    });
    await assert.rejects(other, /broken off/);
    for (const { name } of first.manifest.files) {
      if (name.endsWith('2-of-00002.safetensors')) await rename(join(model, name), join(model, 'model.safetensors'));
      else if (name.endsWith('.safetensors')) await rm(join(model, name));
    }
    await pushDirectory(store, model);
    await pull(url, join(at, 'pulled'));
    assert.deepEqual(await contents(join(at, 'pulled')), await contents(model));
  });
});

test('what an earlier attempt left is checked before it is believed', async () => {
  await place(async ({ url, store, model, at }) => {
    await pushDirectory(store, model);
    const wanted = await resolved(url);
    const into = join(at, 'pulled');
    const stop = new AbortController();
    const onProgress = ({ fetched }: { fetched: number }) => {
      if (fetched > 4 * MiB) stop.abort(new Error('broken off'));
    };
    await assert.rejects(pullInto(into, wanted, { inFlight: 1, threads: 0, signal: stop.signal, onProgress }));
    const partial = join(at, '.pulled.partial');
    await writeFile(join(partial, 'model-00001-of-00002.safetensors'), Buffer.alloc(shards[0]!, 1));
    await pullInto(into, wanted, { inFlight: 2, threads: 0, signal });
    assert.deepEqual(await contents(into), await contents(model));
  });
});

test('a push onto an object of another length is refused, naming it and both, and publishes nothing', async () => {
  await place(async ({ store, model }) => {
    const config = await readFile(join(model, 'config.json'));
    const key = `files/${createHash('sha256').update(config).digest('hex')}`;
    await store.putIfAbsent(key, Buffer.alloc(3));
    await assert.rejects(pushDirectory(store, model), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'model_corrupt', error.message);
      assert.ok(error.message.includes(`${key} in ${store.url} holds 3 bytes; expected ${config.length}`));
      return true;
    });
    assert.deepEqual(await versionsOf(store), []);
  });
});

test("parts of a file that was read are its own, whatever an earlier push's record says", async () => {
  await place(async ({ url, store, model, at }) => {
    const { digest, manifest } = await pushDirectory(store, model);
    const weights = manifest.files.find(({ bytes }) => bytes === 3 * MiB)!;
    const key = `files/${weights.sha256}.json`;
    await store.delete(key);
    const record = { v: 1, bytes: weights.bytes, partBytes: MiB, parts: weights.parts.toReversed() };
    await store.putIfAbsent(key, Buffer.from(JSON.stringify(record)));
    await store.delete(`versions/${digest}/model.json`);
    assert.deepEqual((await pushDirectory(store, model)).manifest.files, manifest.files);
    await pull(url, join(at, 'pulled'));
  });
});

test('a push that ends at any write is gone on with, and no version appears before it is whole', async () => {
  await place(async ({ store, model }) => {
    let writes = 0;
    let left = 0;
    const cut = new Proxy(store, {
      get(target, name: keyof ObjectStore) {
        const value = target[name];
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          if (name.startsWith('put') && left-- <= 0) throw new Error('cut off');
          if (name.startsWith('put')) writes += 1;
          return (value as (...all: unknown[]) => unknown).apply(target, args);
        };
      },
    });
    for (let at = 0; at < 10; at++) {
      left = at % 3;
      await pushDirectory(cut, model).catch((error) => assert.match(String(error), /cut off/));
      for (const digest of await versionsOf(store)) {
        for (const { sha256, bytes } of (await readManifest(store, digest)).files) {
          assert.equal((await store.head(`files/${sha256}`))?.bytes, bytes);
        }
      }
    }
    const { digest } = await pushDirectory(store, model);
    assert.equal(await currentVersion(store), digest);
    // Four files, their records and the manifest; the pointer is the last push's.
    assert.equal(writes, 9, 'nothing was written twice');
  });
});

test('pushes at once point the prefix at one of them, whole', async () => {
  await place(async ({ url, store, at }) => {
    const models = await Promise.all([1, 2, 3].map((i) => makeModel(join(at, `m${i}`), `racer ${count}/${i}`, [1000])));
    const pushed = await Promise.all(models.map((model) => pushDirectory(store, model)));
    const now = await currentVersion(store);
    assert.ok(pushed.some(({ digest }) => digest === now));
    await pull(url, join(at, 'pulled'));
  });
});

test('nothing of a manifest is trusted: a traversal, another file list, a wrong number of parts', async () => {
  await place(async ({ url, store, model, at }) => {
    const { digest, manifest } = await pushDirectory(store, model);
    const key = `versions/${digest}/model.json`;
    const put = async (value: unknown) => {
      await store.delete(key);
      await store.putIfAbsent(key, Buffer.from(JSON.stringify(value)));
    };
    const first = manifest.files[0]!;
    const withFirst = (change: object) => ({
      ...manifest,
      files: [{ ...first, ...change }, ...manifest.files.slice(1)],
    });
    for (const [change, code] of [
      [{ name: '../escaped' }, 'object_corrupt'],
      [{ name: '.bashrc' }, 'object_corrupt'],
      [{ name: 'a/b' }, 'object_corrupt'],
      [{ name: 'model.json' }, 'object_corrupt'],
      [{ bytes: 1e15 }, 'object_corrupt'],
      [{ parts: [] }, 'object_corrupt'],
      [{ sha256: '0'.repeat(64) }, 'model_corrupt'],
    ] as const) {
      await put(withFirst(change));
      await assert.rejects(pull(url, join(at, 'pulled')), coded(code), JSON.stringify(change));
    }
    // Parts that are right by themselves, of a file that is not: its own digest decides.
    const weights = manifest.files.find(({ bytes }) => bytes === 3 * MiB)!;
    const swapped = [weights.parts[1]!, weights.parts[0]!, weights.parts[2]!];
    await put({
      ...manifest,
      files: manifest.files.map((file) => (file === weights ? { ...file, parts: swapped } : file)),
    });
    await assert.rejects(pull(url, join(at, 'pulled')), coded('model_corrupt'));
    await put({
      ...manifest,
      files: manifest.files.map((file) => (file === weights ? { ...file, parts: [...weights.parts].reverse() } : file)),
    });
    await assert.rejects(pull(url, join(at, 'other')), coded('model_corrupt'));
  });
});

test('a prefix without a model, and a version that is not there, are model_not_found', async () => {
  await place(async ({ url }) => {
    await assert.rejects(resolved(url), coded('model_not_found'));
    await assert.rejects(resolved(`${url}@${'0'.repeat(64)}`), coded('model_not_found'));
  });
});
