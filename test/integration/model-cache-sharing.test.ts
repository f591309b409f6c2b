import assert from 'node:assert/strict';
import { mkdir, mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { openStore } from '@longhaul/core/ledger';
import {
  ModelCache,
  type ObtainEvent,
  type ObtainOptions,
  obtainWhole,
  parseModelReference,
  type RemoteReference,
} from '@longhaul/core/models';
import { waitFor } from '../support/cluster.ts';
import { contents, MiB, makeModel, pushDirectory } from '../support/models.ts';
import { coded } from './store-conformance.ts';

const dir = await mkdtemp(join(tmpdir(), 'longhaul-cache-sharing-'));
after(() => rm(dir, { recursive: true, force: true }));
const signal = new AbortController().signal;
const beats = { everyMs: 50, staleMs: 2000 };
let count = 0;

/** A model of about 2 MiB in a store, and an empty cache. */
async function world(limitMiB: number | null = null) {
  const at = join(dir, String(++count));
  const model = await makeModel(join(at, 'model'), String(count), [2 * MiB]);
  const url = pathToFileURL(join(at, 'store')).href;
  const push = async () => {
    const store = await openStore(url);
    return await pushDirectory(store, model).finally(() => store.close());
  };
  const events: ObtainEvent[] = [];
  const cache = { dir: join(at, 'cache'), limitBytes: limitMiB === null ? null : limitMiB * MiB, beats };
  const options: ObtainOptions = {
    store: {},
    transfer: { hub: { endpoint: 'http://127.0.0.1:1', token: null }, cache, inFlight: 2, threads: 0 },
    signal,
    onEvent: (event) => void events.push(event),
  };
  const obtain = async () => await obtainWhole(parseModelReference(url) as RemoteReference, options);
  return { model, push, cache, events, obtain };
}

/** Does `before` ahead of the first call of one of a cache's methods. */
function beforeFirst(methods: readonly ('lock' | 'remove')[], before: () => Promise<unknown>): void {
  const prototype = ModelCache.prototype as unknown as Record<string, (digest: string) => Promise<unknown>>;
  const originals = methods.map((method) => [method, prototype[method]!] as const);
  for (const [method, original] of originals) {
    prototype[method] = async function (this: ModelCache, digest) {
      for (const [name, standing] of originals) prototype[name] = standing;
      await before();
      return await original.call(this, digest);
    };
  }
}

test('a model with a file of no bytes is whole when all others are there', async () => {
  const { model, push, cache, obtain } = await world();
  await writeFile(join(model, 'README.md'), '');
  await push();
  const stopped = AbortSignal.timeout(20_000);
  const got = await Promise.race([
    obtain(),
    new Promise<never>((_, reject) => stopped.addEventListener('abort', () => reject(stopped.reason))),
  ]);
  assert.deepEqual(await contents(join(cache.dir, got.digest)), await contents(model));
});

test('a model that another process publishes between the look and the lock is not brought again', async () => {
  const { push, obtain, events } = await world();
  await push();
  let first = '';
  beforeFirst(['lock'], async () => {
    first = (await obtain()).how;
  });
  const second = await obtain();
  assert.deepEqual([first, second.how, second.fetchedBytes()], ['pulled', 'cached', 0]);
  assert.equal(events.filter(({ kind }) => kind === 'pulling').length, 1);
});

test('what a process brought anew is not taken away by one that saw the damage before', async () => {
  const { push, obtain, cache, events } = await world();
  const { digest } = await push();
  await obtain();
  const config = join(cache.dir, digest, 'config.json');
  const file = await open(config, 'r+');
  await file.write('?', 0);
  await file.close();
  let repaired = '';
  beforeFirst(['lock', 'remove'], async () => {
    repaired = (await obtain()).how;
  });
  const second = await obtain();
  assert.deepEqual([repaired, second.how], ['pulled', 'cached']);
  assert.equal(events.filter(({ kind }) => kind === 'damaged').length, 1);
});

test('what a process that was killed was deleting is deleted when room is made, and not before it is surely gone', async () => {
  const { push, obtain, cache } = await world();
  await push();
  await ModelCache.open(cache);
  const trash = join(cache.dir, '.trash');
  await mkdir(join(trash, 'left'));
  await writeFile(join(trash, 'left', 'model.safetensors'), Buffer.alloc(MiB));
  const opened = await ModelCache.open(cache);
  await opened.makeRoom('0'.repeat(64), 1);
  assert.deepEqual(await readdir(trash), ['left'], 'its owner may be about to put it back');
  await waitFor(
    async () => {
      await opened.makeRoom('0'.repeat(64), 1);
      return (await readdir(trash)).length === 0 ? true : null;
    },
    30_000,
    () => 'an empty trash',
  );
  assert.equal((await obtain()).how, 'pulled');
});

test('what another process is still bringing counts at its full length', async () => {
  const { push, obtain, cache } = await world(5);
  await push();
  const opened = await ModelCache.open(cache);
  const other = 'f'.repeat(64);
  const lock = (await opened.lock(other))!;
  await mkdir(opened.partialOf(other));
  const laidOut = await open(join(opened.partialOf(other), 'model.safetensors'), 'w');
  await laidOut.truncate(4 * MiB);
  await laidOut.close();
  await assert.rejects(obtain(), coded('store_full'));
  await lock.release();
  assert.equal((await obtain()).how, 'pulled', 'what nobody brings any more is no more than it is');
});
