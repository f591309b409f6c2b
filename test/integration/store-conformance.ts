import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ObjectStore, PreconditionFailed, probeStore } from '@longhaul/core/ledger';

export const bytesOf = (text: string) => new TextEncoder().encode(text);
export const textOf = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);
const small = { maxBytes: 1024 * 1024 };

export const refused = (error: unknown) => error instanceof PreconditionFailed;
export const coded = (code: string) => (error: unknown) => (error as { code?: unknown }).code === code;

export async function* pieces(...parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

async function collected(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

async function keysUnder(
  store: ObjectStore,
  prefix: string,
  options: { readonly startAfter?: string } = {},
): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list(prefix, options)) found.push(key);
  return found;
}

/**
 * What every ObjectStore keeps, by name. `open` gives a store on the same empty root each time it is called, each
 * with nothing in common with the others but what is stored.
 */
export function storeConformance(kind: string, open: () => Promise<ObjectStore>): void {
  let made = 0;
  const rule = (name: string, check: (store: ObjectStore, dir: string) => Promise<void>) =>
    test(`${kind}: ${name}`, async () => {
      made += 1;
      const store = await open();
      try {
        await check(store, `t${made}`);
      } finally {
        await store.close();
      }
    });

  rule('what is absent is null, and deleting it is no error', async (store, dir) => {
    assert.equal(await store.get(`${dir}/none`, small), null);
    assert.equal(await store.head(`${dir}/none`), null);
    assert.equal(await store.openRange(`${dir}/none`, { from: 0 }), null);
    assert.equal(await store.get(`${dir}/none/below`, small), null);
    await store.delete(`${dir}/none`);
  });

  rule('a write is read back with one ETag by get, head, range and list', async (store, dir) => {
    const key = `${dir}/deep/er/object.json`;
    const { etag } = await store.putIfAbsent(key, bytesOf('body'));
    const got = await store.get(key, small);
    assert.equal(textOf(got?.body), 'body');
    const head = await store.head(key);
    assert.equal(head?.bytes, 4);
    assert.ok(Math.abs(Date.now() - head.modifiedAt.getTime()) < 60_000);
    const range = await store.openRange(key, { from: 0 });
    assert.equal(textOf(await collected(range!.stream)), 'body');
    const listed: string[] = [];
    for await (const info of store.list(`${dir}/`)) listed.push(info.etag);
    assert.deepEqual([got?.etag, head.etag, range?.etag, ...listed], [etag, etag, etag, etag]);
  });

  rule('an empty body is an object', async (store, dir) => {
    const key = `${dir}/empty`;
    const { etag } = await store.putIfAbsent(key, new Uint8Array(0));
    assert.equal((await store.get(key, small))?.body.length, 0);
    assert.equal((await collected((await store.openRange(key, { from: 0 }))!.stream)).length, 0);
    await assert.rejects(store.putIfAbsent(key, bytesOf('x')), refused);
    await store.putIfMatch(key, new Uint8Array(0), etag);
    assert.deepEqual(await store.putStreamIfAbsent(`${dir}/none`, pieces()).then(({ bytes }) => bytes), 0);
  });

  rule('put-if-absent over an object is refused and changes nothing', async (store, dir) => {
    const key = `${dir}/once`;
    await store.putIfAbsent(key, bytesOf('first'));
    await assert.rejects(store.putIfAbsent(key, bytesOf('second')), refused);
    await assert.rejects(store.putStreamIfAbsent(key, pieces(bytesOf('third'))), refused);
    assert.equal(textOf((await store.get(key, small))?.body), 'first');
    await store.delete(key);
    await store.putIfAbsent(key, bytesOf('fourth'));
    assert.equal(textOf((await store.get(key, small))?.body), 'fourth');
  });

  rule('put-if-match replaces exactly the version it names', async (store, dir) => {
    const key = `${dir}/head`;
    const etags = [(await store.putIfAbsent(key, bytesOf('version 1'))).etag];
    const other = await open();
    for (let version = 2; version <= 20; version++) {
      const writer = version % 2 === 0 ? store : other;
      etags.push((await writer.putIfMatch(key, bytesOf(`version ${version}`), etags.at(-1)!)).etag);
    }
    assert.equal(new Set(etags).size, 20);
    for (const stale of [etags[0]!, etags[10]!, etags[18]!, '"no etag"']) {
      await assert.rejects(store.putIfMatch(key, bytesOf('stale'), stale), refused);
    }
    for (const reader of [store, other]) {
      const got = await reader.get(key, small);
      assert.deepEqual([textOf(got?.body), got?.etag], ['version 20', etags[19]]);
    }
    await assert.rejects(store.putIfMatch(`${dir}/absent`, bytesOf('x'), etags[0]!), refused);
    assert.deepEqual(await keysUnder(store, dir), [key]);
    await store.delete(key);
    await assert.rejects(other.putIfMatch(key, bytesOf('x'), etags[19]!), refused);
    assert.equal(await other.get(key, small), null);
    await other.close();
  });

  rule('of concurrent creators one wins, and its body is what is there', async (store, dir) => {
    const stores = await Promise.all(Array.from({ length: 8 }, open));
    for (let round = 0; round < 5; round++) {
      const key = `${dir}/race-${round}`;
      const ends = await Promise.allSettled(stores.map((one, i) => one.putIfAbsent(key, bytesOf(`racer ${i}`))));
      const winners = ends.flatMap((end, i) => (end.status === 'fulfilled' ? [i] : []));
      for (const end of ends) if (end.status === 'rejected') assert.ok(refused(end.reason), String(end.reason));
      assert.equal(winners.length, 1);
      assert.equal(textOf((await store.get(key, small))?.body), `racer ${winners[0]}`);
    }
    await Promise.all(stores.map((one) => one.close()));
  });

  rule('concurrent swaps lose no update', async (store, dir) => {
    const key = `${dir}/counter`;
    await store.putIfAbsent(key, bytesOf('0'));
    const add = async (writer: number) => {
      const own = await open();
      for (let done = 0; done < 10; ) {
        const { body, etag } = (await own.get(key, small))!;
        const next = Number.parseInt(textOf(body), 10) + 1;
        try {
          await own.putIfMatch(key, bytesOf(`${next} by ${writer}`), etag);
          done += 1;
        } catch (error) {
          assert.ok(refused(error), String(error));
        }
      }
      await own.close();
    };
    await Promise.all([1, 2, 3, 4].map(add));
    assert.match(textOf((await store.get(key, small))?.body), /^40 by/);
  });

  rule('a range begins where it is told and knows the whole size', async (store, dir) => {
    const key = `${dir}/ranged`;
    const body = Buffer.alloc(300_000, 'abcdefg');
    const { etag } = await store.putIfAbsent(key, body);
    for (const from of [0, 1, 299_999, 300_000]) {
      const range = await store.openRange(key, { from, ifMatch: etag });
      assert.equal(range?.totalBytes, 300_000);
      assert.equal(Buffer.compare(await collected(range.stream), body.subarray(from)), 0);
    }
    for (const [from, end] of [
      [0, 1],
      [7, 100_000],
      [299_990, 300_000],
      [299_990, 400_000],
    ] as const) {
      const range = await store.openRange(key, { from, end, ifMatch: etag });
      assert.equal(range?.totalBytes, 300_000);
      assert.equal(Buffer.compare(await collected(range.stream), body.subarray(from, end)), 0);
    }
    const abandoned = await store.openRange(key, { from: 0 });
    for await (const piece of abandoned!.stream) {
      assert.ok(piece.length > 0);
      break;
    }
  });

  rule('a range of a version that is gone is source_changed', async (store, dir) => {
    const key = `${dir}/pinned`;
    const { etag } = await store.putIfAbsent(key, bytesOf('as it was'));
    await store.putIfMatch(key, bytesOf('as it is'), etag);
    await assert.rejects(store.openRange(key, { from: 0, ifMatch: etag }), coded('source_changed'));
    await assert.rejects(store.openRange(key, { from: 100, ifMatch: etag }), coded('source_changed'));
  });

  rule('a body over the limit is object_too_large, named with both sizes', async (store, dir) => {
    await store.putIfAbsent(`${dir}/big`, new Uint8Array(1001));
    await assert.rejects(store.get(`${dir}/big`, { maxBytes: 1000 }), (error: Error) => {
      assert.match(error.message, /big holds 1001 bytes; at most 1000/);
      return coded('object_too_large')(error);
    });
  });

  rule('a stream of any length becomes one object', async (store, dir) => {
    const piece = Buffer.alloc(3_000_001, 'longhaul');
    for (const count of [1, 6]) {
      const key = `${dir}/streamed-${count}`;
      const put = await store.putStreamIfAbsent(key, pieces(...Array(count).fill(piece)));
      assert.equal(put.bytes, count * piece.length);
      const info = await store.head(key);
      assert.deepEqual([info?.bytes, info?.etag], [put.bytes, put.etag]);
      const range = await store.openRange(key, { from: (count - 1) * piece.length });
      assert.equal(Buffer.compare(await collected(range!.stream), piece), 0);
      await assert.rejects(store.putStreamIfAbsent(key, pieces(...Array(count).fill(piece))), refused);
    }
  });

  rule('a stream that fails leaves nothing, and its own error comes out', async (store, dir) => {
    for (const length of [10, 9 * 1024 * 1024]) {
      const broken = (async function* () {
        yield new Uint8Array(length);
        throw new Error('the source broke');
      })();
      await assert.rejects(store.putStreamIfAbsent(`${dir}/broken`, broken), /the source broke/);
    }
    assert.deepEqual(await keysUnder(store, dir), []);
  });

  rule('a listing is in key order and takes any prefix', async (store, dir) => {
    const names = ['a', 'a-b', 'a/1', 'a/2/x', 'a.b', 'a0', 'b/1', 'b/10', 'b/2'];
    for (const name of names) {
      // Where keys are paths, an object cannot also be a directory: no store of ours writes such keys.
      if (name !== 'a') await store.putIfAbsent(`${dir}/${name}`, bytesOf(name));
    }
    const inOrder = ['a-b', 'a.b', 'a/1', 'a/2/x', 'a0', 'b/1', 'b/10', 'b/2'].map((name) => `${dir}/${name}`);
    assert.deepEqual(await keysUnder(store, `${dir}/`), inOrder);
    assert.deepEqual(await keysUnder(store, `${dir}/a`), inOrder.slice(0, 5));
    assert.deepEqual(await keysUnder(store, `${dir}/a/`), inOrder.slice(2, 4));
    assert.deepEqual(await keysUnder(store, `${dir}/b/1`), inOrder.slice(5, 7));
    assert.deepEqual(await keysUnder(store, `${dir}/c`), []);
    for (const [i, startAfter] of inOrder.entries()) {
      assert.deepEqual(await keysUnder(store, `${dir}/`, { startAfter }), inOrder.slice(i + 1), startAfter);
    }
    assert.deepEqual(await keysUnder(store, `${dir}/a`, { startAfter: `${dir}/a/1` }), inOrder.slice(3, 5));
    // A key that is not there: what stands behind it.
    assert.deepEqual(await keysUnder(store, `${dir}/`, { startAfter: `${dir}/a/11` }), inOrder.slice(3));
  });

  rule('keys that are no keys are refused before anything is touched', async (store, dir) => {
    const bad = ['', '/', '/etc/passwd', '..', `${dir}/../x`, `${dir}//x`, `${dir}/.hidden`, `${dir}/a b`, 'x\0y', 'ü'];
    for (const key of [...bad, 'x'.repeat(901)]) {
      await assert.rejects(store.get(key, small), coded('invalid_argument'), key);
      await assert.rejects(store.putIfAbsent(key, bytesOf('x')), coded('invalid_argument'), key);
      await assert.rejects(store.delete(key), coded('invalid_argument'), key);
    }
    await assert.rejects(keysUnder(store, '../'), coded('invalid_argument'));
  });

  rule('an aborted call ends with the reason it was given', async (store, dir) => {
    const signal = AbortSignal.abort(new Error('enough'));
    await assert.rejects(store.get(`${dir}/x`, { ...small, signal }), /enough/);
    await assert.rejects(store.putIfAbsent(`${dir}/x`, bytesOf('x'), { signal }), /enough/);
    const control = new AbortController();
    await store.putIfAbsent(`${dir}/long`, new Uint8Array(4_000_000));
    const range = await store.openRange(`${dir}/long`, { from: 0, signal: control.signal });
    await assert.rejects(async () => {
      for await (const piece of range!.stream) {
        assert.ok(piece.length > 0);
        control.abort(new Error('enough read'));
      }
    }, /enough read/);
    assert.deepEqual(await keysUnder(store, dir), [`${dir}/long`]);
  });

  rule('the start-up probe passes and leaves nothing behind', async (store) => {
    await probeStore(store);
    assert.deepEqual(await keysUnder(store, 'probe/'), []);
  });
}
