import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Failure, limits, RetryableFailure } from '@longhaul/core/contracts';
import { createLedger, type Ledger } from '@longhaul/core/ledger';
import {
  coded,
  commitOf,
  completion,
  jobId,
  leaseOf,
  outputOf,
  setUp,
  specOf,
  stateAt,
} from '../support/ledger-job.ts';
import type { MemoryStore } from '../support/memory-store.ts';

const failure: Failure = { code: 'model_mismatch', message: 'another model', at: '2026-01-01T00:00:00.000Z' };

async function quarantined(ledger: Ledger): Promise<void> {
  const lease = leaseOf(await ledger.acquire(jobId, 'w1'));
  await lease.commit(commitOf(lease, 8, 2));
  await lease.quarantine(failure);
}

test('a redriven job goes on from its checkpoint and keeps both results; the failure stands in its history', async () => {
  const { ledger } = await setUp();
  await quarantined(ledger);
  const first = await ledger.readResult(jobId);
  const { outcome, head } = await ledger.redrive(jobId);
  assert.equal(outcome, 'redriven');
  assert.deepEqual([head.status, head.generation, head.stuckAttempts, head.failure], ['queued', 1, 0, null]);
  assert.deepEqual([head.history, head.stats.redrives], [[{ generation: 0, failure }], 1]);
  assert.equal(await ledger.readResult(jobId), null, 'the new generation has no result yet');
  const lease = leaseOf(await ledger.acquire(jobId, 'w2'));
  assert.deepEqual(await ledger.loadCheckpoint(jobId, lease.head.checkpoint!), stateAt(8));
  await lease.commit(commitOf(lease, 16, 1));
  const second = await lease.complete(completion);
  assert.deepEqual([second.generation, second.status], [1, 'succeeded']);
  assert.deepEqual(await ledger.readResult(jobId), second);
  assert.deepEqual(await ledger.readResult(jobId, 0), first);
  assert.deepEqual(await outputOf(ledger), [1, 2, 3]);
});

test('only a quarantined or expired job is redriven; an open one is left as it is', async () => {
  const { ledger } = await setUp();
  assert.equal((await ledger.redrive(jobId)).outcome, 'open');
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  assert.equal((await ledger.redrive(jobId)).outcome, 'open');
  assert.equal((await ledger.readHead(jobId))?.epoch, lease.epoch, 'the owner is not fenced');
  await lease.complete(completion);
  await assert.rejects(ledger.redrive(jobId), (error: Error) => {
    assert.match(error.message, /is done: only a quarantined or expired job can be redriven/);
    return coded('job_ended')(error);
  });
  await assert.rejects(ledger.redrive('job-unknown'), coded('job_not_found'));
  await assert.rejects(ledger.redrive(jobId, { expiresAt: 'tomorrow' }), coded('invalid_argument'));
  const cancelled = await setUp();
  await cancelled.ledger.requestCancel(jobId);
  await cancelled.ledger.acquire(jobId, 'w');
  await assert.rejects(cancelled.ledger.redrive(jobId), coded('job_ended'));
});

test('who is late with the end of an older generation changes nothing', async () => {
  const { store, ledger } = await setUp();
  const late = leaseOf(await ledger.acquire(jobId, 'late'));
  await late.commit(commitOf(late, 8, 2));
  const swap = store.putIfMatch.bind(store);
  store.putIfMatch = () => Promise.reject(new RetryableFailure('store_unavailable', 'the network is gone'));
  await assert.rejects(late.quarantine(failure), coded('store_unavailable'));
  store.putIfMatch = swap;
  const settled = await ledger.acquire(jobId, 'next');
  assert.ok(settled.kind === 'settled' && settled.head.status === 'quarantined');
  const { head } = await ledger.redrive(jobId);
  await assert.rejects(late.quarantine(failure), coded('fenced'));
  await assert.rejects(late.complete(completion), coded('fenced'));
  assert.deepEqual(await ledger.readHead(jobId), head);
  assert.equal((await ledger.readResult(jobId, 0))?.status, 'failed');
  assert.equal(await ledger.readResult(jobId), null);
});

test('a redrive between result and head of the same owner leaves the new generation alone', async () => {
  const { store, ledger } = await setUp();
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  const create = store.putIfAbsent.bind(store);
  store.putIfAbsent = async (key, body) => {
    const made = await create(key, body);
    if (key.endsWith('/result.json')) {
      store.putIfAbsent = create;
      await ledger.acquire(jobId, 'finisher');
      await ledger.redrive(jobId);
    }
    return made;
  };
  assert.equal((await lease.quarantine(failure)).generation, 0);
  const head = await ledger.readHead(jobId);
  assert.deepEqual([head?.status, head?.generation], ['queued', 1]);
});

test('a cancel mark of an older generation does not end the next one', async () => {
  const { ledger } = await setUp();
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  await ledger.requestCancel(jobId);
  await lease.quarantine(failure);
  await ledger.redrive(jobId);
  assert.equal(await ledger.cancelRequested(jobId), false);
  const next = leaseOf(await ledger.acquire(jobId, 'w'));
  await ledger.requestCancel(jobId);
  assert.equal(await ledger.cancelRequested(jobId), true);
  assert.equal((await next.cancel()).generation, 1);
});

test('the history is bounded, the count of redrives is not', async () => {
  const { ledger } = await setUp();
  for (let n = 0; n < limits.pastFailures + 3; n++) {
    await quarantined(ledger).catch(async (error) => {
      // The position stands already: end without a commit.
      if (!coded('internal')(error)) throw error;
      await leaseOf(await ledger.acquire(jobId, 'w')).quarantine(failure);
    });
    await ledger.redrive(jobId);
  }
  const head = await ledger.readHead(jobId);
  assert.equal(head?.history.length, limits.pastFailures);
  assert.deepEqual([head?.history.at(-1)?.generation, head?.stats.redrives], [10, 11]);
});

/** A clock that a test sets. */
function clockAt(iso: string) {
  let now = new Date(iso);
  return {
    clock: () => now,
    set: (next: string) => {
      now = new Date(next);
    },
  };
}
const deadline = '2026-01-01T01:00:00.000Z';

test('a job past its deadline is settled as expired when it is taken, with what was committed', async () => {
  const { clock, set } = clockAt('2026-01-01T00:00:00Z');
  const { ledger } = await setUp({ clock, spec: { expiresAt: deadline } });
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  await lease.commit(commitOf(lease, 8, 2));
  await lease.release();
  set(deadline);
  const taken = await ledger.acquire(jobId, 'w');
  assert.ok(taken.kind === 'settled');
  assert.deepEqual([taken.head.status, taken.head.failure?.code], ['expired', 'expired']);
  const result = await ledger.readResult(jobId);
  assert.deepEqual([result?.status, result?.finishReason, result?.usage.outputTokens], ['expired', 'expired', 2]);
  assert.match(result?.failure?.message ?? '', /deadline 2026-01-01T01:00:00.000Z passed with 8 tokens committed/);
  assert.deepEqual(await outputOf(ledger), [1, 2]);
  assert.deepEqual(await ledger.loadCheckpoint(jobId, taken.head.checkpoint!), stateAt(8));
});

test('a sweeper ends a waiting job at its deadline, a running one only after the grace, and no other', async () => {
  const { clock, set } = clockAt('2026-01-01T00:00:00Z');
  const { ledger } = await setUp({ clock, spec: { expiresAt: deadline } });
  await ledger.submit(specOf({ jobId: 'job-without-deadline' }));
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  assert.equal((await ledger.expire(jobId)).outcome, 'not-due');
  set('2026-01-01T01:00:30Z');
  assert.equal((await ledger.expire(jobId)).outcome, 'not-due');
  assert.equal((await ledger.expire('job-without-deadline')).outcome, 'not-due');
  assert.equal((await lease.commit(commitOf(lease, 8, 1))).seq, 1, 'the owner was left alone');
  set('2026-01-01T01:01:00Z');
  const { outcome, head } = await ledger.expire(jobId);
  assert.deepEqual([outcome, head.status], ['ended', 'expired']);
  await assert.rejects(lease.commit(commitOf(lease, 16, 1)), coded('fenced'));
  const queued = await setUp({ clock, spec: { expiresAt: deadline } });
  assert.equal((await queued.ledger.expire(jobId)).head.status, 'expired');
});

test('an expired job is redriven with a deadline of its own, or none', async () => {
  const { clock } = clockAt('2026-01-01T02:00:00Z');
  const { ledger } = await setUp({ clock, spec: { expiresAt: deadline } });
  await ledger.expire(jobId);
  const { head } = await ledger.redrive(jobId, { expiresAt: '2026-01-01T03:00:00.000Z' });
  assert.equal(head.expiresAt, '2026-01-01T03:00:00.000Z');
  assert.equal((await ledger.expire(jobId)).outcome, 'not-due');
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  assert.equal((await lease.expire()).status, 'expired');
  assert.equal((await ledger.redrive(jobId)).head.expiresAt, null);
});

async function all(ids: AsyncIterable<string>): Promise<string[]> {
  const found: string[] = [];
  for await (const id of ids) found.push(id);
  return found;
}
const open = (ledger: Ledger, limit = 100) => all(ledger.listOpen({ limit }));
const markers = (store: MemoryStore) => [...store.objects.keys()].filter((key) => key.startsWith('index/')).sort();

test('open and quarantined jobs are listed, ended ones are not; each generation has its marker', async () => {
  const { store, ledger } = await setUp();
  await ledger.submit(specOf({ jobId: 'job-00000002' }));
  assert.deepEqual(await open(ledger), [jobId, 'job-00000002']);
  assert.deepEqual(await open(ledger, 1), [jobId]);
  await quarantined(ledger);
  assert.deepEqual(await open(ledger), ['job-00000002']);
  assert.deepEqual(await all(ledger.listQuarantined({ limit: 9 })), [jobId]);
  await ledger.redrive(jobId);
  assert.deepEqual((await open(ledger)).sort(), [jobId, 'job-00000002']);
  assert.deepEqual(await all(ledger.listQuarantined({ limit: 9 })), []);
  await leaseOf(await ledger.acquire(jobId, 'w')).complete(completion);
  await leaseOf(await ledger.acquire('job-00000002', 'w')).cancel();
  assert.deepEqual(await open(ledger), []);
  assert.deepEqual(markers(store), [], 'nothing is left behind');
});

test('many jobs are listed in full, each once, however many there are side by side', async () => {
  const { ledger } = await setUp();
  const ids = Array.from({ length: 50 }, (_, i) => `job-many-${String(i).padStart(3, '0')}`);
  for (const id of ids) await ledger.submit(specOf({ jobId: id }));
  assert.deepEqual(await open(ledger), [jobId, ...ids]);
  assert.equal((await open(ledger, 20)).length, 20);
  assert.equal((await open(ledger, 16)).length, 16);
});

test('after a crash behind any write of submit, end or redrive, the lists are right and clean themselves', async () => {
  const steps: readonly ((ledger: Ledger) => Promise<unknown>)[] = [
    (ledger) => ledger.submit(specOf()),
    async (ledger) => await leaseOf(await ledger.acquire(jobId, 'w')).quarantine(failure),
    (ledger) => ledger.redrive(jobId),
    async (ledger) => await leaseOf(await ledger.acquire(jobId, 'w')).complete(completion),
  ];
  let crashes = 0;
  for (let at = 0; ; at++) {
    const { store } = await setUp();
    store.objects.clear();
    let left = at;
    const { putIfAbsent, putIfMatch, delete: remove } = store;
    const crashing =
      <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
      async (...args: A): Promise<R> => {
        left -= 1;
        if (left < 0) throw new Error('crash');
        return await call.apply(store, args);
      };
    store.putIfAbsent = crashing(putIfAbsent);
    store.putIfMatch = crashing(putIfMatch);
    store.delete = crashing(remove);
    let accepted = false;
    try {
      for (const step of steps) {
        await step(createLedger(store));
        accepted = true;
      }
    } catch (error) {
      if ((error as Error).message !== 'crash') throw error;
      crashes += 1;
    }
    store.putIfAbsent = putIfAbsent;
    store.putIfMatch = putIfMatch;
    store.delete = remove;
    const ledger = createLedger(store);
    const head = accepted ? await ledger.readHead(jobId) : null;
    const listed = {
      open: await open(ledger),
      quarantined: await all(ledger.listQuarantined({ limit: 9 })),
    };
    if (accepted) {
      const isOpen = head?.status === 'queued' || head?.status === 'running';
      assert.deepEqual(listed.open, isOpen ? [jobId] : [], `write ${at}: ${head?.status}`);
      assert.deepEqual(listed.quarantined, head?.status === 'quarantined' ? [jobId] : [], `write ${at}`);
      if (head?.status === 'done') assert.deepEqual(markers(store), [], `write ${at}: stale markers are gone`);
    }
    if (left >= 0) break;
  }
  assert.ok(crashes >= 14, `${crashes} places to crash at`);
});

test('a marker is judged by the head: a stale one goes, one that may still come true stays', async () => {
  const { store, ledger } = await setUp();
  await quarantined(ledger);
  store.write(`index/open/${jobId}`, new Uint8Array(0));
  store.write(`index/open/${jobId}.1`, new Uint8Array(0));
  store.write('index/open/job-unknown-1', new Uint8Array(0));
  assert.deepEqual(await open(ledger), []);
  assert.deepEqual(markers(store), [
    'index/open/job-00000001.1',
    'index/open/job-unknown-1',
    'index/quarantined/job-00000001',
  ]);
});

test('a job whose head cannot be read is listed as open: it was not seen to end', async () => {
  const { store, ledger } = await setUp();
  store.write(`jobs/${jobId}/head.json`, Buffer.from('{'));
  assert.deepEqual(await open(ledger), [jobId]);
});
