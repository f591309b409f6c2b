import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { type ObjectStore, openStore, type StoreOptions } from '@longhaul/core/ledger';
import { createStates, sweepStates } from '@longhaul/core/states';
import { coded, stateAt } from '../support/ledger-job.ts';
import { startS3Server } from '../support/s3-server/index.ts';
import { at, hastySweep, newest, publicationOf, tenant } from '../support/states.ts';

const server = await startS3Server();
const root = await mkdtemp(join(tmpdir(), 'longhaul-states-'));
after(async () => {
  await server.close();
  await rm(root, { recursive: true, force: true });
});
afterEach(() => server.faults.clear());

const { accessKeyId, secretAccessKey, region } = server;
const settings: StoreOptions = {
  endpoint: server.url,
  region,
  credentials: { accessKeyId, secretAccessKey },
  forcePathStyle: true,
};
const places: Readonly<Record<string, (place: string) => Promise<ObjectStore>>> = {
  s3: (place) => openStore(`s3://${server.bucket}/${place}`, settings),
  file: (place) => openStore(pathToFileURL(join(root, place)).href),
};

let made = 0;
/** `open` gives another store on the same empty place each time. */
function rule(name: string, check: (open: () => Promise<ObjectStore>) => Promise<void>): void {
  for (const [kind, connect] of Object.entries(places)) {
    test(`${kind}: ${name}`, async () => {
      made += 1;
      const place = `place-${made}`;
      const opened: ObjectStore[] = [];
      try {
        await check(async () => {
          const store = await connect(place);
          opened.push(store);
          return store;
        });
      } finally {
        await Promise.all(opened.map((store) => store.close()));
      }
    });
  }
}

async function keysOf(store: ObjectStore): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list('states/')) found.push(key);
  return found;
}

rule(
  'the life of a state: made, read on from, forked, pinned, removed, and its number never given again',
  async (open) => {
    const store = await open();
    const states = createStates(store);
    const one = await states.publish(publicationOf(1, { after: null }));
    const parent = { name: 'book', version: 1 };
    const origin = { ...publicationOf(2).origin, how: 'append', parent } as const;
    const two = await states.publish(publicationOf(2, { origin, after: parent }));
    await assert.rejects(states.publish(publicationOf(3, { after: parent })), coded('state_moved'));
    const copy = await states.fork(tenant, newest('book'), 'copy');
    const elsewhere = createStates(await open());
    assert.deepEqual(await elsewhere.resolve(tenant, newest('book')), two);
    assert.deepEqual(await elsewhere.read(two), stateAt(2));
    assert.deepEqual(await elsewhere.versions(tenant, 'book'), [one, two]);
    const listed: string[] = [];
    for await (const { name, versions } of elsewhere.list(tenant)) listed.push(`${name} ${versions}`);
    assert.deepEqual(listed, ['book 2', 'copy 1']);
    await states.pin(tenant, at('book', 2));
    await assert.rejects(elsewhere.remove(tenant, newest('book')), coded('state_pinned'));
    await elsewhere.unpin(tenant, at('book', 2));
    assert.equal((await elsewhere.remove(tenant, newest('book'))).length, 2);
    await assert.rejects(states.resolve(tenant, newest('book')), coded('state_not_found'));
    await assert.rejects(states.read(two), coded('state_not_found'));
    assert.deepEqual(await states.read(copy), stateAt(2));
    assert.equal((await states.publish(publicationOf(4))).version, 3);
    assert.deepEqual(
      (await states.lineage(copy)).map(({ version, removed }) => [version.version, removed]),
      [
        [2, true],
        [1, true],
      ],
    );
  },
);

rule(
  'many at once, each with a connection of its own, get a version each, and a job of two owners one',
  async (open) => {
    const jobs = [1, 2, 3, 4, 5, 5];
    const versions = await Promise.all(jobs.map(async (n) => createStates(await open()).publish(publicationOf(n))));
    const numbers = versions.map(({ version }) => version);
    assert.equal(numbers[4], numbers[5]);
    assert.deepEqual([...new Set(numbers)].sort(), [1, 2, 3, 4, 5]);
    const store = await open();
    const tensors = (await keysOf(store)).filter((key) => key.includes('/ckpt/'));
    assert.deepEqual(tensors.sort(), [...new Set(versions.map(({ checkpoint }) => checkpoint.key))].sort());
    const states = createStates(store);
    for (const [i, version] of versions.entries()) assert.deepEqual(await states.read(version), stateAt(jobs[i]!));
  },
);

rule('a sweep beside publishers takes what is nobody’s, and nothing else', async (open) => {
  const store = await open();
  const states = createStates(store);
  // What a publisher left that died before its record.
  const dying = new Proxy(store, {
    get: (target, name) => {
      if (name === 'putIfAbsent') {
        return async (key: string, body: Uint8Array) => {
          if (!key.includes('/ckpt/')) throw new Error('the process is gone');
          return await target.putIfAbsent(key, body);
        };
      }
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  await assert.rejects(createStates(dying).publish(publicationOf(9)), /gone/);
  const sweep = async () => {
    for (let i = 0; i < 5; i++) await sweepStates(await open(), hastySweep);
  };
  const publishing = [1, 2, 3, 4].map(async (n) => createStates(await open()).publish(publicationOf(n)));
  const [versions] = await Promise.all([Promise.all(publishing), sweep(), sweep()]);
  for (const version of versions) assert.deepEqual(await states.read(version), stateAt(version.checkpoint.tokenOffset));
  await sweepStates(store, hastySweep);
  const tensors = (await keysOf(store)).filter((key) => key.includes('/ckpt/'));
  assert.equal(tensors.length, 4);
  for (const version of await states.versions(tenant, 'book')) await states.read(version);
});

test('s3: an answer that is lost behind any write of a publication leaves one version, which is ours', async () => {
  for (const action of ['reset-after', 'slow-down-503', 'conflict-409', 'reset'] as const) {
    for (const keyIncludes of ['/ckpt/', '/1.json']) {
      made += 1;
      const store = await places['s3']!(`place-${made}`);
      const states = createStates(store);
      const fault = server.faults.add({ match: { operation: 'PutObject', keyIncludes, times: 1 }, action });
      const version = await states.publish(publicationOf(1, { origin: { ...publicationOf(1).origin, job: null } }));
      assert.deepEqual([fault.hits, version.version], [1, 1], `${action} ${keyIncludes}`);
      assert.deepEqual(await states.versions(tenant, 'book'), [version]);
      assert.deepEqual(await states.read(version), stateAt(1));
      server.faults.clear();
      await store.close();
    }
  }
});

test('s3: tensors that come damaged on their way are read again, and what is stored damaged is refused', async () => {
  made += 1;
  const store = await places['s3']!(`place-${made}`);
  const states = createStates(store);
  const version = await states.publish(publicationOf(1));
  const fault = server.faults.add({
    match: { operation: 'GetObject', keyIncludes: '/ckpt/', times: 1 },
    action: 'truncate-body',
  });
  assert.deepEqual(await states.read(version), stateAt(1));
  assert.equal(fault.hits, 1);
  await store.delete(version.checkpoint.key);
  await store.putIfAbsent(version.checkpoint.key, new Uint8Array(version.checkpoint.bytes));
  await assert.rejects(states.read(version), coded('checkpoint_corrupt'));
  await store.close();
});
