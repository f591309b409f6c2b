import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createLedger, type ObjectStore, openStore, type StoreOptions } from '@longhaul/core/ledger';
import { startLateProxy } from '../support/late-proxy.ts';
import { commitOf, jobId, leaseOf, coded as ledgerCoded, outputOf, specOf } from '../support/ledger-job.ts';
import { startS3Server } from '../support/s3-server/index.ts';
import { bytesOf, coded, pieces, refused, textOf } from './store-conformance.ts';

const server = await startS3Server();
const proxy = await startLateProxy(server.port);
after(async () => {
  await proxy.close();
  await server.close();
});

const { accessKeyId, secretAccessKey, region } = server;
const settings: StoreOptions = {
  endpoint: server.url,
  region,
  credentials: { accessKeyId, secretAccessKey },
  forcePathStyle: true,
};
let opened = 0;

/** The same place in the bucket, near and through the proxy. */
async function open(t: { after(work: () => Promise<void>): void }, more: StoreOptions = {}) {
  opened += 1;
  const url = `s3://${server.bucket}/ambiguous-${opened}`;
  const near = await openStore(url, settings);
  const far = await openStore(url, { ...settings, endpoint: proxy.url, ...more });
  t.after(async () => {
    await near.close();
    await far.close();
  });
  return { near, far };
}
const read = async (store: ObjectStore, key: string) => textOf((await store.get(key, { maxBytes: 1024 }))?.body);

test('412 behind an own earlier success is a success: the first try arrives just before the second', async (t) => {
  const { near, far } = await open(t);
  for (const what of ['create', 'replace'] as const) {
    const etag = what === 'create' ? '' : (await near.head('key'))!.etag;
    proxy.hold();
    const statuses: number[] = [];
    proxy.beforePut = async () => statuses.push(...(await proxy.deliver()));
    const body = bytesOf(`ours by ${what}`);
    const put = what === 'create' ? far.putIfAbsent('key', body) : far.putIfMatch('key', body, etag);
    assert.equal((await put).etag, (await near.head('key'))?.etag);
    assert.deepEqual(statuses, [200], 'the held write was the one that was carried out');
    proxy.beforePut = async () => {};
    assert.equal(await read(near, 'key'), `ours by ${what}`);
  }
});

test('a write that arrives after its caller gave up is refused where another came first', async (t) => {
  const { near, far } = await open(t, { budgetMs: 2000, attemptTimeoutMs: 2000 });
  const { etag } = await near.putIfAbsent('head', bytesOf('first'));
  server.faults.add({ match: { operation: 'GetObject' }, action: 'stall' });
  proxy.hold();
  await assert.rejects(far.putIfMatch('head', bytesOf('late'), etag), coded('store_unavailable'));
  proxy.hold();
  await assert.rejects(far.putIfAbsent('result', bytesOf('late')), coded('store_unavailable'));
  server.faults.clear();
  assert.equal(proxy.held, 2);
  await near.putIfMatch('head', bytesOf('another'), etag);
  await near.putIfAbsent('result', bytesOf('another'));
  assert.deepEqual(await proxy.deliver(), [412, 412]);
  assert.deepEqual([await read(near, 'head'), await read(near, 'result')], ['another', 'another']);
});

test('a commit whose swap arrives late is fenced by a takeover, and happened where none came', async (t) => {
  for (const takeover of [true, false]) {
    const { near, far } = await open(t, { budgetMs: 2000, attemptTimeoutMs: 2000 });
    const ledger = createLedger(near);
    await ledger.submit(specOf());
    const lease = leaseOf(await createLedger(far).acquire(jobId, 'far'));
    const commit = commitOf(lease, 8, 2);
    // Both objects of the commit pass, its swap is held, and nobody can look.
    let puts = 0;
    proxy.beforePut = async () => {
      puts += 1;
      if (puts === 2) proxy.hold();
      if (puts === 2) server.faults.add({ match: { operation: 'GetObject' }, action: 'stall' });
    };
    await assert.rejects(lease.commit(commit), ledgerCoded('store_unavailable'));
    proxy.beforePut = async () => {};
    server.faults.clear();
    assert.equal(proxy.held, 1);
    const young = takeover ? leaseOf(await ledger.acquire(jobId, 'near')) : null;
    assert.deepEqual(await proxy.deliver(), [takeover ? 412 : 200]);
    if (young === null) {
      assert.equal((await lease.commit(commit)).seq, 1);
    } else {
      await assert.rejects(lease.commit(commit), ledgerCoded('fenced'));
      await young.commit(commitOf(young, 16, 3));
    }
    assert.deepEqual(await outputOf(ledger), takeover ? [1, 2, 3] : [1, 2]);
  }
});

test('409 while completing an upload drops it: nothing is left, and the whole upload again works', async (t) => {
  const { near } = await open(t);
  const body = () => pieces(Buffer.alloc(9 << 20, 'abc'));
  const conflict = server.faults.add({
    match: { operation: 'CompleteMultipartUpload', times: 1 },
    action: 'conflict-409',
  });
  await assert.rejects(near.putStreamIfAbsent('object', body()), (error: Error) => {
    assert.match(error.message, /the upload was dropped: completing the upload of object/);
    return coded('store_unavailable')(error);
  });
  assert.equal(conflict.hits, 1);
  assert.equal(server.requests.filter(({ operation }) => operation === 'AbortMultipartUpload').at(-1)?.status, 204);
  assert.equal(await near.head('object'), null);
  assert.equal((await near.putStreamIfAbsent('object', body())).bytes, 9 << 20);
});

test('409 to a put says nothing about who won: looked at, tried again, and refused where another did', async (t) => {
  const { near } = await open(t);
  const { etag } = await near.putIfAbsent('key', bytesOf('first'));
  const conflict = server.faults.add({ match: { operation: 'PutObject', times: 2 }, action: 'conflict-409' });
  const next = await near.putIfMatch('key', bytesOf('second'), etag);
  assert.deepEqual([conflict.hits, await read(near, 'key')], [2, 'second']);
  server.faults.add({ match: { operation: 'PutObject', times: 1 }, action: 'conflict-409' });
  await assert.rejects(near.putIfMatch('key', bytesOf('third'), etag), refused);
  assert.equal((await near.head('key'))?.etag, next.etag);
});

test('a caller that ends a call between two tries hears its own reason', async (t) => {
  const { near } = await open(t);
  server.faults.add({ match: {}, action: 'slow-down-503' });
  t.after(async () => server.faults.clear());
  const control = new AbortController();
  setTimeout(() => control.abort(new Error('enough')), 60);
  await assert.rejects(near.putIfAbsent('x', bytesOf('x'), { signal: control.signal }), /^Error: enough$/);
});

for (const hours of [-2, 2]) {
  test(`a clock that is ${hours} h off is corrected by the store's answers, or named`, async (t) => {
    let told = true;
    const now = () => Date.now() - hours * 3600 * 1000;
    const skewed = await startS3Server({ clock: { now, told: () => (told ? now() : Date.now()) } });
    t.after(() => skewed.close());
    const connect = () => openStore(`s3://${skewed.bucket}`, { ...settings, endpoint: skewed.url, budgetMs: 5000 });
    for (const call of ['head', 'putIfAbsent', 'get'] as const) {
      const store = await connect();
      const work = () =>
        call === 'putIfAbsent' ? store.putIfAbsent('key', bytesOf('x')) : store[call]('key', { maxBytes: 9 });
      await work();
      await store.close();
    }
    told = false;
    const store = await connect();
    const started = performance.now();
    await assert.rejects(store.putIfAbsent('other', bytesOf('x')), (error: Error) => {
      assert.match(
        error.message,
        /the store refuses the time of our requests, set this machine's clock: writing other/,
      );
      return coded('store_denied')(error);
    });
    await assert.rejects(store.get('key', { maxBytes: 9 }), /set this machine's clock/);
    await assert.rejects(store.head('key'), coded('store_denied'));
    assert.ok(performance.now() - started < 4000, 'it does not take the whole budget');
    await store.close();
  });
}
