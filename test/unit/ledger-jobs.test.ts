import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits, RetryableFailure } from '@longhaul/core/contracts';
import { type Commit, collectGarbage, EMPTY_CHAIN, extendChain, type Lease, recordLine } from '@longhaul/core/ledger';
import {
  coded,
  commitOf,
  completion,
  digest,
  jobId,
  leaseOf,
  outputOf,
  pins,
  record,
  setUp,
  specOf,
  stateAt,
} from '../support/ledger-job.ts';

test('submitting again is existing, also at another time; another job under the id is job_exists and changes nothing', async () => {
  const { ledger } = await setUp();
  assert.equal(await ledger.submit(specOf({ createdAt: '2027-01-01T00:00:00.000Z' })), 'existing');
  await assert.rejects(ledger.submit(specOf({ priority: 7 })), (error: Error) => {
    assert.match(error.message, /another priority/);
    return coded('job_exists')(error);
  });
  assert.equal((await ledger.readSpec(jobId)).createdAt, '2026-01-01T00:00:00.000Z');
  assert.equal((await ledger.readSpec(jobId)).priority, 0);
  await assert.rejects(ledger.submit({ ...specOf(), jobId: '../evil' }), coded('invalid_spec'));
});

test('a submitter that died between spec and head leaves a job that can be read and taken', async () => {
  for (const use of ['readHead', 'acquire', 'submit'] as const) {
    const { store, ledger } = await setUp();
    await store.delete(`jobs/${jobId}/head.json`);
    if (use === 'readHead') assert.equal((await ledger.readHead(jobId))?.status, 'queued');
    else if (use === 'submit') assert.equal(await ledger.submit(specOf()), 'existing');
    assert.equal(leaseOf(await ledger.acquire(jobId, 'w')).epoch, 1);
  }
});

test('an unknown job is null or job_not_found, and no id reaches outside its folder', async () => {
  const { ledger } = await setUp();
  assert.equal(await ledger.readHead('job-unknown'), null);
  assert.equal(await ledger.readResult('job-unknown'), null);
  for (const id of ['job-unknown', '../../etc/x', '']) {
    await assert.rejects(ledger.readSpec(id), coded('job_not_found'));
    await assert.rejects(ledger.acquire(id, 'w'), coded('job_not_found'));
    await assert.rejects(ledger.requestCancel(id), coded('job_not_found'));
  }
});

test('a whole run: commits advance seq and figures, the result says what was committed, and the next taker sees done', async () => {
  const { store, ledger } = await setUp();
  const lease = leaseOf(await ledger.acquire(jobId, 'w1'));
  assert.deepEqual([lease.head.status, lease.head.owner, lease.head.stuckAttempts], ['running', 'w1', 1]);
  await lease.commit(commitOf(lease, 8, 0));
  await lease.commit(commitOf(lease, 16, 2));
  const head = await lease.commit({ ...commitOf(lease, 16, 1), state: null });
  assert.deepEqual([head.seq, head.stuckAttempts, head.checkpoint?.tokenOffset], [3, 0, 16]);
  assert.deepEqual(head.segments, [{ fromSeq: 2, toSeq: 3, epoch: 1 }]);
  assert.equal(
    head.outputSha256,
    extendChain(
      EMPTY_CHAIN,
      [1, 2, 3].map((n) => recordLine(record(n))),
    ),
  );
  assert.deepEqual([head.stats.commits, head.stats.recomputedTokens, head.stats.busySeconds], [3, 6, 1.5]);
  assert.deepEqual(await outputOf(ledger), [1, 2, 3]);
  assert.deepEqual(await outputOf(ledger, 1), [2, 3]);
  assert.deepEqual(await outputOf(ledger, 9), []);
  assert.deepEqual(await ledger.loadCheckpoint(jobId, head.checkpoint!), stateAt(16));

  const result = await lease.complete(completion);
  assert.deepEqual(result.digests, { state: head.checkpoint?.stateSha256, output: head.outputSha256 });
  assert.deepEqual(await ledger.readResult(jobId), result);
  const next = await ledger.acquire(jobId, 'w2');
  assert.ok(next.kind === 'settled' && next.head.status === 'done' && next.head.owner === null);
  await assert.rejects(lease.commit(commitOf(lease, 24, 0)), coded('internal'));
  assert.ok(store.objects.has(head.checkpoint!.key));
});

test('a takeover fences the older owner in every call', async () => {
  const { ledger } = await setUp();
  const attempts: ((lease: Lease) => Promise<unknown>)[] = [
    (lease) => lease.commit(commitOf(lease, 16, 1)),
    (lease) => lease.complete(completion),
    (lease) => lease.cancel(),
    (lease) => lease.quarantine({ code: 'internal', message: 'x', at: '2026-01-01T00:00:00.000Z' }),
    (lease) => lease.release(),
  ];
  for (const attempt of attempts) {
    const old = leaseOf(await ledger.acquire(jobId, 'old'));
    await old.commit(commitOf(old, 8, 1));
    const young = leaseOf(await ledger.acquire(jobId, 'young'));
    await assert.rejects(attempt(old), (error: Error) => {
      assert.match(error.message, new RegExp(`under epoch ${old.epoch}: epoch ${young.epoch} is held by young`));
      return coded('fenced')(error);
    });
    await assert.rejects(attempt(old), coded('fenced'));
    assert.equal(await ledger.readResult(jobId), null);
    assert.equal((await young.commit(commitOf(young, 8, 0))).epoch, young.epoch);
  }
});

test('three attempts that bring nothing are one too many: quarantined as stuck, checkpoint and output kept', async () => {
  const { ledger } = await setUp();
  const first = leaseOf(await ledger.acquire(jobId, 'w'));
  const committed = await first.commit(commitOf(first, 8, 2));
  for (let attempt = 1; attempt <= limits.stuckAttempts; attempt++) leaseOf(await ledger.acquire(jobId, 'w'));
  const end = await ledger.acquire(jobId, 'w');
  assert.ok(end.kind === 'settled');
  assert.deepEqual([end.head.status, end.head.failure?.code], ['quarantined', 'stuck']);
  assert.match(end.head.failure!.message, /3 attempts in a row ended without a commit after seq 1, token 8/);
  assert.equal((await ledger.readResult(jobId))?.status, 'failed');
  assert.deepEqual(end.head.checkpoint, committed.checkpoint);
  assert.deepEqual(await ledger.loadCheckpoint(jobId, end.head.checkpoint!), stateAt(8));
  assert.deepEqual(await outputOf(ledger), [1, 2]);
});

test('a job handed back is queued and unharmed, as often as that happens; a commit clears the count', async () => {
  const { ledger } = await setUp();
  for (let turn = 0; turn < 10; turn++) await leaseOf(await ledger.acquire(jobId, 'w')).release();
  assert.deepEqual(
    [(await ledger.readHead(jobId))?.status, (await ledger.readHead(jobId))?.stuckAttempts],
    ['queued', 0],
  );
  for (let turn = 1; turn <= 10; turn++) {
    const lease = leaseOf(await ledger.acquire(jobId, 'w'));
    await lease.commit(commitOf(lease, turn, 0));
  }
  assert.equal((await ledger.readHead(jobId))?.seq, 10);
});

test('a result without a finished head is finished by whoever comes next, and stays the only one', async () => {
  const { store, ledger } = await setUp();
  const lease = leaseOf(await ledger.acquire(jobId, 'w1'));
  await lease.commit(commitOf(lease, 8, 2));
  const swap = store.putIfMatch.bind(store);
  store.putIfMatch = () => Promise.reject(new RetryableFailure('store_unavailable', 'the network is gone'));
  await assert.rejects(lease.complete(completion), coded('store_unavailable'));
  store.putIfMatch = swap;
  const written = await ledger.readResult(jobId);
  const next = await ledger.acquire(jobId, 'w2');
  assert.ok(next.kind === 'settled' && next.head.status === 'done');
  assert.deepEqual(await lease.complete({ ...completion, text: 'another' }), written);
  assert.deepEqual(await ledger.readResult(jobId), written);
});

test('a cancel mark is seen by the owner and ends the job at the next acquire, with what was committed', async () => {
  const { ledger } = await setUp();
  const lease = leaseOf(await ledger.acquire(jobId, 'w1'));
  await lease.commit(commitOf(lease, 8, 2));
  assert.equal(await ledger.cancelRequested(jobId), false);
  await ledger.requestCancel(jobId);
  await ledger.requestCancel(jobId);
  assert.equal(await ledger.cancelRequested(jobId), true);
  const next = await ledger.acquire(jobId, 'w2');
  assert.ok(next.kind === 'settled' && next.head.status === 'cancelled');
  const result = await ledger.readResult(jobId);
  assert.deepEqual([result?.status, result?.usage.outputTokens, result?.finishReason], ['cancelled', 2, 'cancelled']);
  assert.deepEqual(await outputOf(ledger), [1, 2]);
});

test('a commit that failed is tried again as it was, whether or not it had happened; another one is refused', async () => {
  for (const happened of [false, true]) {
    const { store, ledger } = await setUp();
    const lease = leaseOf(await ledger.acquire(jobId, 'w'));
    const swap = store.putIfMatch.bind(store);
    store.putIfMatch = async (...args) => {
      if (happened) await swap(...args);
      throw new RetryableFailure('store_unavailable', 'no answer');
    };
    const commit = commitOf(lease, 8, 2);
    await assert.rejects(lease.commit(commit), coded('store_unavailable'));
    store.putIfMatch = swap;
    await assert.rejects(lease.commit(commitOf(lease, 16, 3)), coded('internal'));
    assert.equal((await lease.commit({ ...commit })).seq, 1);
    assert.equal((await lease.commit(commitOf(lease, 16, 1))).seq, 2);
    assert.deepEqual(await outputOf(ledger), [1, 2, 3]);
  }
});

test('a job is given back also when its last commit may have happened', async () => {
  const { store, ledger } = await setUp();
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  const swap = store.putIfMatch.bind(store);
  store.putIfMatch = async (...args) => {
    await swap(...args);
    throw new RetryableFailure('store_unavailable', 'no answer');
  };
  await assert.rejects(lease.commit(commitOf(lease, 8, 2)), coded('store_unavailable'));
  store.putIfMatch = swap;
  await lease.release();
  const head = await ledger.readHead(jobId);
  assert.deepEqual([head?.status, head?.seq, head?.owner], ['queued', 1, null]);
});

test('what cannot follow the head is refused, saying what differs', async () => {
  const { ledger } = await setUp();
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  await lease.commit(commitOf(lease, 8, 2));
  const next = commitOf(lease, 16, 1);
  const cases: readonly (readonly [Commit, string, RegExp])[] = [
    [{ ...next, pins: { ...pins, chunkTokens: 16 } }, 'checkpoint_mismatch', /chunkTokens 8; this commit has 16/],
    [{ ...next, state: stateAt(15) }, 'state_mismatch', /covers 15 tokens; the commit is for 16/],
    [{ ...next, state: { ...stateAt(16), modelDigest: digest('c') } }, 'model_mismatch', /c{64}/],
    [{ ...next, state: { ...stateAt(16), tokenizerDigest: digest('c') } }, 'tokenizer_mismatch', /c{64}/],
    [{ ...next, state: null }, 'internal', /no state for token 16; the checkpoint stands at 8/],
    [{ ...next, records: [] }, 'internal', /0 records after 2 make no output of 3/],
    [commitOf(lease, 4, 1), 'internal', /goes back/],
  ];
  for (const [commit, code, text] of cases) {
    await assert.rejects(lease.commit(commit), (error: Error) => text.test(error.message) && coded(code)(error));
  }
  assert.equal((await lease.commit(next)).seq, 2);
  const first = lease.commit(commitOf(lease, 24, 0));
  await assert.rejects(lease.release(), /another call is under way/);
  await first;
});

test('old checkpoints go as new ones come: three at most, always with the one the head names', async () => {
  const { store, ledger } = await setUp();
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  for (let n = 1; n <= 10; n++) {
    const head = await lease.commit(commitOf(lease, n, 0));
    const kept = [...store.objects.keys()].filter((key) => key.includes('/ckpt/'));
    assert.ok(kept.length <= 3 && kept.includes(head.checkpoint!.key), kept.join(' '));
  }
  await lease.complete(completion);
  assert.equal([...store.objects.keys()].filter((key) => key.includes('/ckpt/')).length, 2);
});

test('garbage collection takes what no commit can name any more and nothing that one still may', async () => {
  const { store, ledger } = await setUp();
  const stale = leaseOf(await ledger.acquire(jobId, 'stale'));
  await stale.commit(commitOf(stale, 8, 1));
  const swap = store.putIfMatch.bind(store);
  store.putIfMatch = () => Promise.reject(new RetryableFailure('store_unavailable', 'gone'));
  await assert.rejects(stale.commit(commitOf(stale, 16, 1)), coded('store_unavailable'));
  store.putIfMatch = swap;
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  store.putIfMatch = () => Promise.reject(new RetryableFailure('store_unavailable', 'gone'));
  const underWay = commitOf(lease, 16, 1);
  await assert.rejects(lease.commit(underWay), coded('store_unavailable'));
  store.putIfMatch = swap;
  const deleted = await collectGarbage(store, jobId);
  assert.deepEqual(
    deleted.map((key) => key.replace(/^.*\/(ckpt|out)\/(\d+-\d+).*/, '$1 $2')),
    ['ckpt 0000000002-1', 'out 0000000002-1'],
  );
  await lease.commit(underWay);
  assert.deepEqual(await outputOf(ledger), [1, 2]);
  assert.deepEqual(await ledger.loadCheckpoint(jobId, lease.head.checkpoint!), stateAt(16));
});

test('damage to what is stored is named by key and never read over', async () => {
  const { store, ledger } = await setUp();
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  await lease.commit(commitOf(lease, 8, 1));
  const { checkpoint } = await lease.commit(commitOf(lease, 16, 2));
  const keys = [...store.objects.keys()];
  const damaged = async (key: string, body: string | null, attempt: () => Promise<unknown>, code: string) => {
    const before = store.objects.get(key)!;
    if (body === null) store.objects.delete(key);
    else store.objects.set(key, { ...before, body: Buffer.from(body) });
    await assert.rejects(attempt(), (error: Error) => {
      assert.ok(error.message.includes(key) || code === 'object_corrupt', error.message);
      return coded(code)(error);
    });
    store.objects.set(key, before);
  };
  const job = `jobs/${jobId}`;
  await damaged(`${job}/head.json`, '{', () => ledger.readHead(jobId), 'object_corrupt');
  await damaged(`${job}/head.json`, '{"v":2}', () => ledger.acquire(jobId, 'x'), 'object_corrupt');
  await damaged(`${job}/spec.json`, '[]', () => ledger.readSpec(jobId), 'object_corrupt');
  await damaged(checkpoint!.key, 'short', () => ledger.loadCheckpoint(jobId, checkpoint!), 'checkpoint_corrupt');
  await damaged(checkpoint!.key, null, () => ledger.loadCheckpoint(jobId, checkpoint!), 'checkpoint_corrupt');
  const [one, two] = keys.filter((key) => key.includes('/out/')).sort() as [string, string];
  await damaged(one, null, () => outputOf(ledger), 'object_corrupt');
  const first = store.objects.get(one)!;
  store.objects.set(one, store.objects.get(two)!);
  await assert.rejects(outputOf(ledger), (error: Error) => /its head says 3/.test(error.message));
  store.objects.set(one, first);
  assert.deepEqual(await outputOf(ledger), [1, 2, 3]);
});

test('a checkpoint that was superseded while it was read means that the job is no longer ours', async () => {
  const { store, ledger } = await setUp();
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  const { checkpoint } = await lease.commit(commitOf(lease, 8, 0));
  await lease.commit(commitOf(lease, 16, 0));
  await store.delete(checkpoint!.key);
  await assert.rejects(ledger.loadCheckpoint(jobId, checkpoint!), coded('fenced'));
});

test('jobs are listed newest first; an input is stored below inputs/ with its size', async () => {
  const { ledger } = await setUp();
  await ledger.submit(specOf({ jobId: 'job-00000002' }));
  await ledger.submit(specOf({ jobId: 'another-00' }));
  assert.deepEqual(await ledger.listJobs({ limit: 2 }), ['another-00', 'job-00000002']);
  assert.equal((await ledger.listJobs({ limit: 10 })).length, 3);
  const pieces = async function* () {
    yield new Uint8Array(3);
    yield new Uint8Array(4);
  };
  const { source, bytes } = await ledger.putInput(pieces());
  assert.equal(bytes, 7);
  assert.ok(source.kind === 'stored' && /^inputs\/\d{8}\/[0-9a-f-]{36}$/.test(source.key));
});
