import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collectGarbage, createLedger } from '@longhaul/core/ledger';
import { coded, commitOf, completion, jobId, leaseOf, setUp, stateAt } from '../support/ledger-job.ts';

test('a pinned checkpoint outlives the commits behind it, garbage collection and the end; unpinned it goes', async () => {
  const { store, ledger } = await setUp();
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  await assert.rejects(ledger.pin(jobId, 'chapter-1'), coded('pin_not_found'));
  await lease.commit(commitOf(lease, 1, 0));
  const { checkpoint } = await ledger.pin(jobId, 'chapter-1');
  assert.equal(checkpoint.tokenOffset, 1);
  assert.deepEqual(await ledger.pin(jobId, 'chapter-1'), (await ledger.listPins(jobId))[0]);
  for (let n = 2; n <= 6; n++) await lease.commit(commitOf(lease, n, 0));
  const swept = await collectGarbage(store, jobId);
  assert.ok(swept.length === 1 && /0000000004-1/.test(swept[0]!), `the newest two and the pinned one stay: ${swept}`);
  await lease.complete(completion);
  await collectGarbage(store, jobId);
  assert.deepEqual(await ledger.loadCheckpoint(jobId, checkpoint), stateAt(1));
  await assert.rejects(ledger.pin(jobId, 'chapter-1'), coded('pin_exists'));
  await ledger.unpin(jobId, 'chapter-1');
  await assert.rejects(ledger.unpin(jobId, 'chapter-1'), coded('pin_not_found'));
  assert.deepEqual(await collectGarbage(store, jobId), [checkpoint.key]);
});

test('whatever the owner does between any two calls of a pin, the checkpoint that it answers stays', async () => {
  for (let at = 0; at < 8; at++) {
    const { store, ledger } = await setUp();
    const lease = leaseOf(await ledger.acquire(jobId, 'w'));
    await lease.commit(commitOf(lease, 1, 0));
    await lease.commit(commitOf(lease, 2, 0));
    let call = 0;
    const between = async () => {
      if (call++ === at) for (let n = 3; n <= 7; n++) await lease.commit(commitOf(lease, n, 0));
    };
    const interrupted = new Proxy(store, {
      get: (target, name) => {
        const value = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        if (name === 'list') return value.bind(target);
        return async (...args: unknown[]) => {
          await between();
          return await value.apply(target, args);
        };
      },
    });
    const pinned = await createLedger(interrupted).pin(jobId, 'mine');
    for (let n = 8; n <= 12; n++) await lease.commit(commitOf(lease, n, 0));
    await collectGarbage(store, jobId);
    assert.ok(store.objects.has(pinned.checkpoint.key), `interrupted before call ${at}`);
    assert.deepEqual(await ledger.listPins(jobId), [pinned]);
  }
});

test('a name that could reach elsewhere is refused', async () => {
  const { ledger } = await setUp();
  for (const name of ['', '..', 'a/b', 'x'.repeat(64), 'ä']) {
    await assert.rejects(ledger.pin(jobId, name), coded('invalid_argument'));
    await assert.rejects(ledger.unpin(jobId, name), coded('invalid_argument'));
  }
});

test('what a commit asks of the store: two puts, a swap, and from the third on one list and one delete', async () => {
  const { store, ledger } = await setUp();
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  const calls: string[] = [];
  for (const name of ['get', 'head', 'putIfAbsent', 'putIfMatch', 'list', 'delete'] as const) {
    const real = (store[name] as (...args: unknown[]) => unknown).bind(store);
    store[name] = ((...args: unknown[]) => {
      calls.push(name);
      return real(...args);
    }) as never;
  }
  for (let n = 1; n <= 5; n++) {
    calls.length = 0;
    await lease.commit(commitOf(lease, n, 1));
    const expected = ['putIfAbsent', 'putIfAbsent', 'putIfMatch'];
    if (n > 3) expected.push('delete', 'list');
    assert.deepEqual([...calls].sort(), expected.sort(), `commit ${n}`);
  }
});
