import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type GenerateTask, Retention } from '@longhaul/core/contracts';
import { collectGarbage, createLedger, type Ledger, type SweepOptions, sweepGarbage } from '@longhaul/core/ledger';
import { KeyFilter } from '../../core/ledger/key-filter.ts';
import { coded, commitOf, completion, jobId, leaseOf, outputOf, setUp, specOf } from '../support/ledger-job.ts';
import { MemoryStore } from '../support/memory-store.ts';

const end = new Date('2026-01-10T00:00:00Z');
const later = (days: number) => new Date(end.getTime() + days * 24 * 3600 * 1000);
const clock = () => end;
const keep = Retention.parse({});
const failure = { code: 'invalid_utf8', message: 'byte 7', at: end.toISOString() } as const;
const objects = (store: MemoryStore, part = '') => [...store.objects.keys()].filter((key) => key.includes(part)).sort();
const sweep = (store: MemoryStore, options: Partial<SweepOptions> & { readonly days?: number } = {}) =>
  sweepGarbage(store, { retention: keep, now: () => later(options.days ?? 0), ...options });

/** A job that has ended with two commits. */
async function ended(how: 'done' | 'quarantined' = 'done') {
  const made = await setUp({ clock });
  const lease = leaseOf(await made.ledger.acquire(jobId, 'w'));
  await lease.commit(commitOf(lease, 8, 2));
  await lease.commit(commitOf(lease, 16, 2));
  if (how === 'done') await lease.complete(completion);
  else await lease.quarantine(failure);
  return made;
}

test('the state of an ended job goes after its days, its output and result after theirs, and then nothing is left', async () => {
  const { store, ledger } = await ended();
  const retention = Retention.parse({ stateDays: 2, jobDays: 5 });
  assert.deepEqual(await collectGarbage(store, jobId, { now: later(1.9), retention }), []);
  const states = await collectGarbage(store, jobId, { now: later(2), retention });
  assert.equal(states.length, 2);
  assert.deepEqual(objects(store, '/ckpt/'), []);
  assert.deepEqual(await outputOf(ledger), [1, 2, 3, 4]);
  assert.equal((await ledger.readResult(jobId))?.status, 'succeeded');
  await assert.rejects(ledger.pin(jobId, 'late'), coded('pin_not_found'));
  assert.deepEqual(await collectGarbage(store, jobId, { now: later(4.9), retention }), []);
  await collectGarbage(store, jobId, { now: later(5), retention });
  assert.deepEqual(objects(store), []);
  assert.equal(await ledger.readHead(jobId), null);
});

test('an open job is kept however old it is, and so is one that was redriven or is pinned', async () => {
  const retention = Retention.parse({ stateDays: 1, jobDays: 1 });
  const open = await setUp({ clock });
  const lease = leaseOf(await open.ledger.acquire(jobId, 'w'));
  await lease.commit(commitOf(lease, 8, 2));
  assert.deepEqual(await collectGarbage(open.store, jobId, { now: later(900), retention }), []);
  assert.equal((await lease.commit(commitOf(lease, 16, 1))).seq, 2);

  const redriven = await ended('quarantined');
  await redriven.ledger.redrive(jobId);
  assert.deepEqual(await collectGarbage(redriven.store, jobId, { now: later(900), retention }), []);

  const pinned = await ended();
  const { checkpoint } = await pinned.ledger.pin(jobId, 'mine');
  const gone = await collectGarbage(pinned.store, jobId, { now: later(900), retention });
  assert.deepEqual(gone, [], 'a pinned job outlives its days');
  const states = await collectGarbage(pinned.store, jobId, {
    now: later(900),
    retention: { ...retention, jobDays: null },
  });
  assert.equal(states.length, 1);
  assert.deepEqual(objects(pinned.store, '/ckpt/'), [checkpoint.key]);
  await pinned.ledger.unpin(jobId, 'mine');
  await collectGarbage(pinned.store, jobId, { now: later(900), retention });
  assert.deepEqual(objects(pinned.store), []);
});

test('a quarantined job whose state is gone is redriven from its beginning, and its old output makes room', async () => {
  const { store, ledger } = await ended('quarantined');
  await collectGarbage(store, jobId, { now: later(9), retention: Retention.parse({ stateDays: 3 }) });
  const { head } = await ledger.redrive(jobId);
  assert.deepEqual([head.position.tokenOffset, head.checkpoint, head.segments, head.dropped], [0, null, [], 'nothing']);
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  await lease.commit(commitOf(lease, 16, 4));
  await lease.complete(completion);
  await collectGarbage(store, jobId);
  assert.equal(objects(store, '/out/').length, 1);
  assert.deepEqual(await outputOf(ledger), [1, 2, 3, 4]);
});

/** Runs `act` before the `at`-th call of the store's that `during` makes; returns how many it made. */
async function interrupt(
  store: MemoryStore,
  at: number,
  act: () => Promise<unknown>,
  during: (store: MemoryStore) => Promise<unknown>,
): Promise<number> {
  let calls = 0;
  const between = async () => {
    if (calls++ === at) await act();
  };
  const watched = new Proxy(store, {
    get: (target, name) => {
      const value = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      if (name === 'list') {
        return async function* (...args: unknown[]) {
          await between();
          yield* value.apply(target, args);
        };
      }
      return async (...args: unknown[]) => {
        await between();
        return await value.apply(target, args);
      };
    },
  });
  await during(watched);
  return calls;
}

test('whatever happens between two calls of a collection with a retention, nothing is lost that is needed', async () => {
  const retention = Retention.parse({ stateDays: 1, jobDays: 2 });
  for (const days of [1, 2]) {
    for (let at = 0, calls = 1; at < calls; at++) {
      for (const what of ['redrive', 'pin', 'submit'] as const) {
        const { store, ledger } = await ended('quarantined');
        let held = '';
        const act = async () => {
          if (what === 'redrive') held = (await ledger.redrive(jobId)).outcome;
          if (what === 'pin') held = (await ledger.pin(jobId, 'mine')).checkpoint.key;
          if (what === 'submit') held = await ledger.submit(specOf());
        };
        const tried = () => act().catch((error) => assert.match(error.code, /job_not_found|pin_not_found|job_exists/));
        calls = await interrupt(store, at, tried, (watched) =>
          collectGarbage(watched, jobId, { now: later(days), retention }),
        );
        const where = `${what} before call ${at} of ${calls}, after ${days} days`;
        if (what === 'pin' && held !== '') assert.ok(store.objects.has(held), where);
        if (what === 'redrive' && held !== '') {
          const lease = leaseOf(await ledger.acquire(jobId, 'w'));
          if (lease.head.checkpoint !== null) await ledger.loadCheckpoint(jobId, lease.head.checkpoint);
          assert.equal((await outputOf(ledger)).length, lease.head.position.outputCount, where);
        }
        if (what === 'submit' && held === 'created') {
          assert.equal((await leaseOf(await ledger.acquire(jobId, 'w'))).epoch, 1, where);
        }
      }
    }
  }
});

test('a sweep that dies at any of its deletes is finished by the next one', async () => {
  for (let at = 0; ; at++) {
    const { store } = await ended();
    const remove = store.delete.bind(store);
    let left = at;
    store.delete = async (key) => {
      left -= 1;
      if (left < 0) throw new Error('crash');
      await remove(key);
    };
    const retention = Retention.parse({ jobDays: 1 });
    const whole = await sweep(store, { days: 1, retention }).then(
      () => true,
      () => false,
    );
    store.delete = remove;
    await sweep(store, { days: 3, retention });
    assert.deepEqual(objects(store), [], `crash at delete ${at}`);
    if (whole) break;
    assert.ok(at < 100);
  }
});

test('what crashes left goes once it is old: submits without a head, objects of no job, markers, probes', async () => {
  const { store, ledger } = await setUp();
  await ledger.submit(specOf({ jobId: 'job-half-made' }));
  await store.delete('jobs/job-half-made/head.json');
  store.write('jobs/job-of-ghosts/out/0000000001-1.jsonl.zst', new Uint8Array(1));
  store.write('index/open/job-long-gone', new Uint8Array(0));
  store.write('index/quarantined/job-long-gone.2', new Uint8Array(0));
  store.write('probe/x/once', new Uint8Array(1));
  const before = objects(store);
  await sweep(store, { now: () => new Date(60_000) });
  assert.deepEqual(objects(store), before, 'young ones stay');
  const counts = await sweep(store);
  const kept = [`index/open/${jobId}`, `jobs/${jobId}/head.json`, `jobs/${jobId}/spec.json`];
  assert.deepEqual(
    objects(store).filter((key) => !key.startsWith('tenants/')),
    kept,
  );
  assert.deepEqual([counts.jobs, counts.probes, counts.markers, counts.segments], [3, 1, 2, 1]);
  assert.equal(await ledger.submit(specOf({ jobId: 'job-half-made' })), 'created');
});

test('a job that is being deleted is not accepted again until nothing of it is left', async () => {
  const { store, ledger } = await ended();
  const remove = store.delete.bind(store);
  store.delete = async (key) => {
    if (key.endsWith('/head.json')) throw new Error('crash');
    await remove(key);
  };
  const retention = Retention.parse({ jobDays: 1 });
  await assert.rejects(sweep(store, { days: 1, retention }), /crash/);
  store.delete = remove;
  await assert.rejects(ledger.submit(specOf()), coded('job_exists'));
  await assert.rejects(ledger.acquire(jobId, 'w'), coded('job_not_found'));
  await sweep(store, { days: 1, retention });
  assert.equal(await ledger.submit(specOf()), 'created');
  assert.equal(leaseOf(await ledger.acquire(jobId, 'w')).epoch, 1);
});

async function store(ledger: Ledger, id: string): Promise<string> {
  const body = async function* () {
    yield new Uint8Array(1);
  };
  const { source } = await ledger.putInput(body());
  await ledger.submit(specOf({ jobId: id, document: source }));
  return source.kind === 'stored' ? source.key : '';
}

test('an input goes when no job reads it any more, never while another one does', async () => {
  const made = new MemoryStore();
  const ledger = createLedger(made, { clock });
  const [waiting, read] = [await store(ledger, 'job-waiting'), await store(ledger, 'job-reading')];
  const document = (await ledger.readSpec('job-reading')).document;
  await ledger.submit(specOf({ jobId: 'job-same-input', document }));
  made.write('inputs/20260101/orphan', new Uint8Array(1));
  await leaseOf(await ledger.acquire('job-reading', 'w')).complete(completion);
  const retention = Retention.parse({ inputDays: 3 });
  assert.equal((await sweep(made, { days: 9 })).inputs, 0, 'without a retention all stay');
  assert.equal((await sweep(made, { days: 2.9, retention })).inputs, 1);
  assert.deepEqual(objects(made, 'inputs/'), [waiting, read].sort());
  assert.equal((await sweep(made, { days: 9, retention })).inputs, 0, 'another job reads the same');
  await leaseOf(await ledger.acquire('job-same-input', 'w')).complete(completion);
  assert.equal((await sweep(made, { days: 2.9, retention })).inputs, 0);
  assert.equal((await sweep(made, { days: 3, retention })).inputs, 1);
  assert.deepEqual(objects(made, 'inputs/'), [waiting]);
});

test('stored questions stay as long as a job asks them', async () => {
  const made = new MemoryStore();
  const ledger = createLedger(made, { clock });
  const questions = { kind: 'stored', key: 'inputs/20260101/questions' } as const;
  made.write(questions.key, new Uint8Array(1));
  const { sampling, stop } = specOf().task as GenerateTask;
  const task = { kind: 'ask', questions, maxNewTokens: 1, sampling, stop, logprobs: false, topLogprobs: 0 } as const;
  await ledger.submit(specOf({ jobId: 'job-asking', task, document: null, from: { name: 'book', version: 1 } }));
  const retention = Retention.parse({ inputDays: 3 });
  assert.equal((await sweep(made, { days: 9, retention })).inputs, 0);
  await leaseOf(await ledger.acquire('job-asking', 'w')).complete(completion);
  assert.equal((await sweep(made, { days: 9, retention })).inputs, 1);
});

test('a damaged job is told of and left alone, the others are swept, and no input goes that it might read', async () => {
  const { store: made } = await ended();
  const ledger = createLedger(made, { clock });
  await store(ledger, 'job-damaged');
  made.write('jobs/job-damaged/head.json', Buffer.from('{'));
  const told: string[] = [];
  const retention = Retention.parse({ jobDays: 1, inputDays: 1 });
  const counts = await sweep(made, { days: 9, retention, onDamaged: (id) => told.push(id) });
  assert.deepEqual([counts.damaged, counts.inputs, told], [1, 0, ['job-damaged']]);
  assert.deepEqual(objects(made, jobId), []);
  assert.ok(objects(made, 'job-damaged').length >= 2);
});

test('jobs of an earlier version, which have no markers, are given theirs', async () => {
  const { store: made, ledger } = await setUp();
  await ledger.submit(specOf({ jobId: 'job-quarantined' }));
  await leaseOf(await ledger.acquire('job-quarantined', 'w')).quarantine(failure);
  for (const key of objects(made, 'index/')) await made.delete(key);
  assert.equal((await sweep(made)).marked, 2);
  assert.deepEqual(objects(made, 'index/'), [`index/open/${jobId}`, 'index/quarantined/job-quarantined']);
});

test('a sweep can be stopped', async () => {
  const { store: made } = await setUp();
  await assert.rejects(sweep(made, { signal: AbortSignal.abort(new Error('enough')) }), /enough/);
});

test('the filter of inputs finds every key that was added, and few others', () => {
  const filter = new KeyFilter();
  const key = (n: number) => `inputs/20260101/${n}`;
  for (let n = 0; n < 20_000; n++) filter.add(key(n));
  for (let n = 0; n < 20_000; n++) assert.ok(filter.has(key(n)));
  let chance = 0;
  for (let n = 20_000; n < 40_000; n++) if (filter.has(key(n))) chance += 1;
  assert.ok(chance < 20, `${chance} of 20000 keys were found that were never added`);
});
