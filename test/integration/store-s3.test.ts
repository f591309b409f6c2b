import assert from 'node:assert/strict';
import { after, afterEach, test } from 'node:test';
import { type ObjectStore, openStore, probeStore, type StoreOptions } from '@longhaul/core/ledger';
import { quickest } from '../support/quickest.ts';
import { type FaultAction, startS3Server } from '../support/s3-server/index.ts';
import { bytesOf, coded, pieces, refused, storeConformance, textOf } from './store-conformance.ts';

const server = await startS3Server();
after(() => server.close());
afterEach(() => {
  server.faults.up();
  server.faults.clear();
});

const { accessKeyId, secretAccessKey, region } = server;
const settings: StoreOptions = {
  endpoint: server.url,
  region,
  credentials: { accessKeyId, secretAccessKey },
  forcePathStyle: true,
};
const hasty: StoreOptions = { ...settings, budgetMs: 1000, attemptTimeoutMs: 200 };
/** Also where the machine stalls, a try has its time; only one that is never answered takes all of it. */
const patient: StoreOptions = { ...settings, budgetMs: 30_000, attemptTimeoutMs: 1000 };
const small = { maxBytes: 1024 * 1024 };
let opened = 0;

storeConformance('s3', () => openStore(`s3://${server.bucket}/shared/ledger`, settings));
storeConformance('s3, WHEN_REQUIRED, no prefix', () =>
  openStore(`s3://${server.bucket}`, { ...settings, requestChecksumCalculation: 'WHEN_REQUIRED' }),
);

/** A rule under faults, on its own prefix. */
function rule(name: string, check: (store: ObjectStore) => Promise<void>, options = patient): void {
  test(`s3: ${name}`, async () => {
    opened += 1;
    const store = await openStore(`s3://${server.bucket}/faults-${opened}`, options);
    try {
      await check(store);
    } finally {
      server.faults.clear();
      await store.close();
    }
  });
}

const fault = (operation: 'PutObject' | 'GetObject' | 'CompleteMultipartUpload', action: FaultAction, times = 1) =>
  server.faults.add({ match: { operation, times }, action });
const read = async (store: ObjectStore, key: string) => textOf((await store.get(key, small))?.body);
const within = async (milliseconds: number, work: () => Promise<unknown>, code: string) => {
  const took = await quickest(milliseconds, async () => {
    const started = performance.now();
    await assert.rejects(work(), coded(code));
    return performance.now() - started;
  });
  assert.ok(took < milliseconds, `it took ${took} ms, at most ${milliseconds} are allowed`);
};

for (const action of ['slow-down-503', 'internal-500', 'reset', 'reset-after', 'conflict-409', 'stall'] as const) {
  rule(`a write lives through ${action}, once and twice`, async (store) => {
    for (const times of [1, 2]) {
      const key = `object-${times}`;
      const created = fault('PutObject', action, times);
      const { etag } = await store.putIfAbsent(key, bytesOf('created'));
      assert.ok(created.hits >= 1);
      assert.deepEqual([await read(store, key), (await store.head(key))?.etag], ['created', etag]);
      server.faults.clear();
      const replaced = fault('PutObject', action, times);
      const next = await store.putIfMatch(key, bytesOf('replaced'), etag);
      assert.ok(replaced.hits >= 1);
      assert.deepEqual([await read(store, key), (await store.head(key))?.etag], ['replaced', next.etag]);
      server.faults.clear();
    }
  });
}

rule('an ambiguous answer never turns another writer into us', async (store) => {
  const { etag } = await store.putIfAbsent('taken', bytesOf('theirs'));
  for (const action of ['reset', 'reset-after', 'internal-500', 'conflict-409'] as const) {
    fault('PutObject', action);
    await assert.rejects(store.putIfAbsent('taken', bytesOf('ours!!')), refused);
    fault('PutObject', action);
    await assert.rejects(store.putIfMatch('taken', bytesOf('ours!!'), '"0123456789abcdef0123456789abcdef"'), refused);
    fault('PutObject', action);
    await assert.rejects(store.putIfMatch('absent', bytesOf('ours!!'), etag), refused);
    server.faults.clear();
  }
  assert.equal(await read(store, 'taken'), 'theirs');
});

rule('reads live through errors, damage and truncation', async (store) => {
  const body = Buffer.alloc(200_000, 'longhaul');
  await store.putIfAbsent('object', body);
  for (const action of ['slow-down-503', 'reset', 'reset-after', 'truncate-body', 'flip-bit', 'stall'] as const) {
    const bitten = fault('GetObject', action);
    const got = await store.get('object', small);
    assert.equal(bitten.hits, 1, action);
    assert.equal(Buffer.compare(got!.body, body), 0, action);
  }
});

rule('a range that breaks midway throws store_unavailable', async (store) => {
  await store.putIfAbsent('object', Buffer.alloc(2_000_000, 'x'));
  fault('GetObject', 'truncate-body');
  const range = await store.openRange('object', { from: 10 });
  let received = 0;
  await assert.rejects(
    async () => {
      for await (const piece of range!.stream) received += piece.length;
    },
    (error: Error) => /object/.test(error.message) && coded('store_unavailable')(error),
  );
  assert.ok(received < 1_999_990);
});

rule(
  'what does not go away ends within the budget, by its own code',
  async (store) => {
    const calm = await openStore(store.url, patient);
    await calm.putIfAbsent('object', bytesOf('here'));
    const cases = [
      ['denied-403', 'store_denied', 500],
      ['full', 'store_full', 500],
      ['slow-down-503', 'store_unavailable', 2500],
      ['stall', 'store_unavailable', 2500],
    ] as const;
    for (const [action, code, milliseconds] of cases) {
      server.faults.add({ match: {}, action });
      await Promise.all([
        within(milliseconds, () => store.putIfAbsent('new', bytesOf('x')), code),
        within(milliseconds, () => store.get('object', small), code),
        within(milliseconds, () => store.head('object'), code),
        within(milliseconds, () => store.putStreamIfAbsent('new', pieces(new Uint8Array(9 << 20))), code),
      ]);
      server.faults.clear();
    }
    server.faults.down();
    await within(2500, () => store.get('object', small), 'store_unavailable');
    await within(2500, () => store.putIfAbsent('new', bytesOf('x')), 'store_unavailable');
    server.faults.up();
    assert.equal(await read(calm, 'object'), 'here');
    await calm.close();
  },
  hasty,
);

rule('the caller can end a call that hangs', async (store) => {
  server.faults.add({ match: {}, action: 'stall' });
  const control = new AbortController();
  setTimeout(() => control.abort(new Error('enough')), 50);
  await Promise.all([
    assert.rejects(store.putIfAbsent('x', bytesOf('x'), { signal: control.signal }), /enough/),
    assert.rejects(store.get('x', { ...small, signal: control.signal }), /enough/),
  ]);
});

rule('an upload in parts lives through faults of each step', async (store) => {
  const body = [Buffer.alloc(9 << 20, 'abc'), Buffer.alloc(9 << 20, 'def')];
  for (const action of ['internal-500', 'reset', 'reset-after'] as const) {
    const hits = (['CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload'] as const).map((operation) =>
      server.faults.add({ match: { operation, times: 1 }, action }),
    );
    const { bytes, etag } = await store.putStreamIfAbsent(`in-parts-${action}`, pieces(...body));
    assert.deepEqual([bytes, (await store.head(`in-parts-${action}`))?.etag], [18 << 20, etag]);
    assert.deepEqual(
      hits.map((one) => one.hits),
      [1, 1, 1],
    );
  }
});

rule('an upload that loses to another is refused and its parts are dropped', async (store) => {
  const body = pieces(Buffer.alloc(9 << 20, 'ours'));
  const stalled = server.faults.add({ match: { operation: 'CompleteMultipartUpload', times: 1 }, action: 'reset' });
  // The second try waits until the other object is there.
  const second = server.faults.add({ match: { operation: 'CompleteMultipartUpload', times: 1 }, action: 'stall' });
  const theirs = (async () => {
    await stalled.hit;
    await store.putIfAbsent('object', bytesOf('theirs'));
    await second.hit;
    server.faults.release();
  })();
  await assert.rejects(store.putStreamIfAbsent('object', body), refused);
  await theirs;
  assert.equal(await read(store, 'object'), 'theirs');
  const aborted = server.requests.filter(({ operation }) => operation === 'AbortMultipartUpload');
  assert.equal(aborted.at(-1)?.status, 204);
});

rule('the probe names what an unsafe store does wrong, and who is not let in', async (store) => {
  server.faults.add({ match: {}, action: 'no-conditions' });
  await assert.rejects(probeStore(store), (error: Error) => {
    assert.match(error.message, /put-if-absent over an existing object was carried out/);
    return coded('store_unsafe')(error);
  });
  server.faults.clear();
  const credentials = { accessKeyId, secretAccessKey: 'not the secret' };
  const stranger = await openStore(`s3://${server.bucket}`, { ...hasty, credentials });
  await assert.rejects(probeStore(stranger), coded('store_denied'));
  await stranger.close();
  const nowhere = await openStore(`s3://no-such-bucket`, hasty);
  await assert.rejects(probeStore(nowhere), coded('store_unavailable'));
  await nowhere.close();
});

test('s3: calls under way end with the store, however long it is away', async () => {
  const store = await openStore(`s3://${server.bucket}/closed`, settings);
  server.faults.down();
  const calls = [store.get('object', small), store.putIfAbsent('object', bytesOf('mine')), store.delete('object')];
  const ended = Promise.all(calls.map((call) => assert.rejects(call, coded('closed'))));
  await new Promise((resolve) => setTimeout(resolve, 100));
  const began = performance.now();
  await store.close();
  await ended;
  assert.ok(performance.now() - began < 2000);
});
