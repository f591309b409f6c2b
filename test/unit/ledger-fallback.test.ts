import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits, RetryableFailure } from '@longhaul/core/contracts';
import { collectGarbage, EMPTY_CHAIN, type Lease } from '@longhaul/core/ledger';
import { coded, commitOf, completion, jobId, leaseOf, outputOf, setUp, stateAt } from '../support/ledger-job.ts';

const unusable = (lease: Lease, message = 'it is damaged') => ({ key: lease.head.checkpoint!.key, message });

test('the job goes back to the checkpoint before, with position, output and digest of then, and ends as if it had not', async () => {
  const straight = await setUp();
  const undisturbed = leaseOf(await straight.ledger.acquire(jobId, 'w'));
  for (const n of [1, 2, 3]) await undisturbed.commit(commitOf(undisturbed, n * 8, 2));
  const expected = await undisturbed.complete(completion);

  const { ledger } = await setUp();
  const first = leaseOf(await ledger.acquire(jobId, 'w1'));
  const then = await first.commit(commitOf(first, 8, 2));
  await first.commit(commitOf(first, 16, 2));
  const lease = leaseOf(await ledger.acquire(jobId, 'w2'));
  const damaged = unusable(lease);
  const head = await lease.fallBack(damaged);
  assert.deepEqual(
    [head.seq, head.position, head.checkpoint, head.restore, head.segments, head.outputSha256],
    [3, then.position, then.checkpoint, null, then.segments, then.outputSha256],
  );
  assert.deepEqual([head.stats.fallbacks, head.stats.recomputedTokens], [1, 4 + 8]);
  assert.deepEqual(
    [head.fallback?.key, head.fallback?.message, head.fallback?.fromTokenOffset, head.fallback?.toTokenOffset],
    [damaged.key, damaged.message, 16, 8],
  );
  assert.equal(head.stuckAttempts, 1, 'going back is no progress');
  assert.deepEqual(await outputOf(ledger), [1, 2]);
  assert.deepEqual(await ledger.loadCheckpoint(jobId, head.checkpoint!), stateAt(8));
  for (const n of [2, 3]) await lease.commit(commitOf(lease, n * 8, 2));
  const result = await lease.complete(completion);
  assert.deepEqual(result.digests, expected.digests);
  assert.deepEqual(await outputOf(ledger), [1, 2, 3, 4, 5, 6]);
});

test('without a checkpoint before it, or where that one is damaged too, the job begins again, under its pins', async () => {
  const { store, ledger } = await setUp();
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  await lease.commit(commitOf(lease, 8, 2));
  await lease.commit(commitOf(lease, 16, 2));
  await lease.fallBack(unusable(lease));
  const head = await lease.fallBack(unusable(lease));
  assert.deepEqual(
    [head.seq, head.position.tokenOffset, head.position.outputCount, head.checkpoint, head.segments, head.outputSha256],
    [4, 0, 0, null, [], EMPTY_CHAIN],
  );
  assert.notEqual(head.pins, null);
  assert.deepEqual(await outputOf(ledger), []);
  await lease.commit(commitOf(lease, 24, 6));
  await collectGarbage(store, jobId);
  assert.deepEqual(await outputOf(ledger), [1, 2, 3, 4, 5, 6]);
  const left = [...store.objects.keys()].filter((key) => /\/(ckpt|out)\//.test(key));
  assert.equal(left.length, 2, left.join(' '));
});

test('a job whose checkpoints fail again and again at one place is checkpoint_corrupt; one that gets on is not', async () => {
  const { ledger } = await setUp();
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  for (let n = 1; n <= 10; n++) {
    await lease.commit(commitOf(lease, n * 8, 0));
    await lease.commit(commitOf(lease, n * 8 + 4, 0));
    await lease.fallBack(unusable(lease));
  }
  for (let n = 2; n <= limits.fallbacks; n++) {
    await lease.commit(commitOf(lease, 84, 0));
    await lease.fallBack(unusable(lease));
  }
  await lease.commit(commitOf(lease, 84, 0));
  const { head } = lease;
  await assert.rejects(lease.fallBack(unusable(lease, 'NaN again')), (error: Error) => {
    assert.match(
      error.message,
      /^NaN again; 4 checkpoints in a row before it, none beyond token 84, could not be used/,
    );
    return coded('checkpoint_corrupt')(error);
  });
  assert.equal(lease.head, head, 'nothing was written');
  assert.equal((await lease.commit(commitOf(lease, 88, 0))).position.tokenOffset, 88);
});

test('a fall-back with a lost answer is tried again as it was, whether or not it had happened', async () => {
  for (const happened of [false, true]) {
    for (const then of ['again', 'release', 'quarantine'] as const) {
      const { store, ledger } = await setUp();
      const lease = leaseOf(await ledger.acquire(jobId, 'w'));
      await lease.commit(commitOf(lease, 8, 2));
      await lease.commit(commitOf(lease, 16, 2));
      const damaged = unusable(lease);
      const swap = store.putIfMatch.bind(store);
      store.putIfMatch = async (...args) => {
        if (happened) await swap(...args);
        throw new RetryableFailure('store_unavailable', 'no answer');
      };
      await assert.rejects(lease.fallBack(damaged), coded('store_unavailable'));
      store.putIfMatch = swap;
      await assert.rejects(lease.commit(commitOf(lease, 24, 2)), coded('internal'));
      if (then === 'again') {
        assert.deepEqual([(await lease.fallBack(damaged)).seq, lease.head.position.tokenOffset], [3, 8]);
        await lease.commit(commitOf(lease, 16, 2));
      } else if (then === 'release') await lease.release();
      else await lease.quarantine({ code: 'internal', message: 'x', at: '2026-01-01T00:00:00.000Z' });
      const head = await ledger.readHead(jobId);
      const expected = then === 'again' ? 4 : happened ? 2 : 4;
      assert.equal((await outputOf(ledger)).length, expected, `${then}, happened: ${happened}`);
      assert.equal(head?.stats.fallbacks, then === 'again' || happened ? 1 : 0);
    }
  }
});

test('a fenced owner cannot send the job back', async () => {
  const { ledger } = await setUp();
  const old = leaseOf(await ledger.acquire(jobId, 'old'));
  await old.commit(commitOf(old, 8, 1));
  const young = leaseOf(await ledger.acquire(jobId, 'young'));
  await assert.rejects(old.fallBack(unusable(old)), coded('fenced'));
  assert.equal((await ledger.readHead(jobId))?.position.tokenOffset, young.head.position.tokenOffset);
});

test('output is read once each while the job goes back under the reader, and while its segments are swept', async () => {
  for (const sweep of [false, true]) {
    for (let at = 0; at < 6; at++) {
      const { store, ledger } = await setUp();
      const lease = leaseOf(await ledger.acquire(jobId, 'w'));
      await lease.commit(commitOf(lease, 8, 2));
      await lease.commit(commitOf(lease, 16, 2));
      await lease.commit(commitOf(lease, 24, 2));
      const positions: number[] = [];
      for await (const record of ledger.readOutput(jobId, { skip: 0 })) {
        if (positions.length === at) {
          await lease.fallBack(unusable(lease));
          await lease.fallBack(unusable(lease));
          if (sweep) await collectGarbage(store, jobId);
          await lease.commit(commitOf(lease, 20, 5));
        }
        if ('position' in record) positions.push(record.position);
      }
      assert.ok(positions.length >= 5, `interrupted at ${at}: ${positions}`);
      assert.deepEqual(positions, [1, 2, 3, 4, 5, 6].slice(0, positions.length));
    }
  }
});

test('a committed end that is now before what the reader has ends the reading; the records come once it is back', async () => {
  const { ledger } = await setUp();
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  await lease.commit(commitOf(lease, 8, 2));
  await lease.commit(commitOf(lease, 16, 2));
  await lease.fallBack(unusable(lease));
  assert.deepEqual(await outputOf(ledger, 4), []);
  assert.deepEqual(await outputOf(ledger, 3), []);
  await lease.commit(commitOf(lease, 24, 4));
  assert.deepEqual(await outputOf(ledger, 4), [5, 6]);
});

test('a checkpoint that the store damaged before its commit was tried again is written anew, and no job is lost for it', async () => {
  const { store, ledger } = await setUp();
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  const swap = store.putIfMatch.bind(store);
  store.putIfMatch = () => Promise.reject(new RetryableFailure('store_unavailable', 'no answer'));
  const commit = commitOf(lease, 8, 2);
  await assert.rejects(lease.commit(commit), coded('store_unavailable'));
  store.putIfMatch = swap;
  const key = [...store.objects.keys()].find((one) => one.includes('/ckpt/'))!;
  store.write(key, Buffer.from('damaged'));
  const { checkpoint } = await lease.commit(commit);
  assert.equal(checkpoint?.key, key);
  assert.deepEqual(await ledger.loadCheckpoint(jobId, checkpoint!), stateAt(8));
});
