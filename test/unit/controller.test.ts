import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, type JobId, limits, RetryableFailure, systemClock } from '@longhaul/core/contracts';
import { createLedger, type Ledger } from '@longhaul/core/ledger';
import type { QueueDemand, Whereabouts } from '@longhaul/core/queue';
import { metric } from '@longhaul/core/telemetry';
import { parseConfig } from '../../infra/controller/config.ts';
import { demandOf } from '../../infra/controller/demand.ts';
import { eachOf } from '../../infra/controller/each-of.ts';
import type { Queues, SweptQueue } from '../../infra/controller/ports.ts';
import { Rate } from '../../infra/controller/rate.ts';
import { Sweep } from '../../infra/controller/sweep.ts';
import { commitOf, leaseOf, specOf } from '../support/ledger-job.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { recordMetrics } from '../support/recorded.ts';

const recorded = recordMetrics();
/** Jobs that were counted as put right, by what was done. */
const sweptSoFar = async () =>
  Object.fromEntries((await recorded.of(metric.sweepJobs)).map(([of, jobs]) => [of['longhaul.result'], jobs]));

const never = new AbortController().signal;
const none: QueueDemand = { waiting: 0, prioritized: 0, delayedDue: 0, delayedLater: 0, held: 0, orphaned: 0 };

/** The places that a test gives to jobs, and what was asked of the queue. */
class FakeQueue implements SweptQueue {
  readonly places = new Map<JobId, Whereabouts>();
  readonly rung: JobId[] = [];
  down = false;

  async enqueue(jobId: JobId) {
    this.rung.push(jobId);
    this.places.set(jobId, 'waiting');
  }

  async remove(jobId: JobId) {
    return this.places.get(jobId) === 'waiting' && this.places.delete(jobId);
  }

  async whereabouts(jobIds: readonly JobId[]) {
    if (this.down) throw new RetryableFailure('queue_unavailable', 'connection refused');
    return jobIds.map((jobId) => this.places.get(jobId) ?? 'absent');
  }

  async *waiting() {
    yield [...this.places].filter(([, place]) => place === 'waiting').map(([jobId]) => jobId);
  }

  async demand() {
    return none;
  }
}

async function setUp(jobs: readonly JobId[]) {
  const store = new MemoryStore();
  const now = { ms: Date.parse('2026-01-01T00:00:00Z') };
  const ledger = createLedger(store, { clock: () => new Date(now.ms) });
  const queue = new FakeQueue();
  const kept: string[][] = [];
  const queues: Queues = {
    of: () => queue,
    models: () => ['tiny'],
    keep: async (models) => void kept.push([...models]),
    close: async () => {},
  };
  for (const jobId of jobs) {
    await ledger.submit(specOf({ jobId, expiresAt: jobId.includes('late') ? '2026-01-01T01:00:00.000Z' : null }));
  }
  const clock: Clock = { ...systemClock, date: () => new Date(now.ms) };
  const lines: string[] = [];
  const sweep = new Sweep({
    ...{ ledger, queues, clock, rate: new Rate(clock, 10_000) },
    log: (level, message, fields) => void lines.push(`${level} ${message} ${JSON.stringify(fields)}`),
  });
  return { store, ledger, queue, kept, sweep, lines, now };
}

const statusOf = async (ledger: Ledger, jobId: JobId) => (await ledger.readHead(jobId))?.status;

test('a sweep rings for what the queue does not know, and again changes nothing', async () => {
  const { queue, sweep, kept } = await setUp(['job-absent-1', 'job-absent-2', 'job-waits-1']);
  queue.places.set('job-waits-1', 'waiting');
  assert.deepEqual(await sweep.round(never), { open: 3, rung: 2, ended: 0, removed: 0, failed: 0 });
  assert.deepEqual(queue.rung.sort(), ['job-absent-1', 'job-absent-2']);
  assert.deepEqual(await sweep.round(never), { open: 3, rung: 0, ended: 0, removed: 0, failed: 0 });
  assert.deepEqual(kept, [['tiny'], ['tiny']]);
});

test('a job in the hands of a worker is left to it, at its last attempt too; one that nobody has ends', async () => {
  const { ledger, queue, sweep } = await setUp(['job-last-try', 'job-is-stuck']);
  for (const jobId of ['job-last-try', 'job-is-stuck']) {
    for (let i = 1; i < limits.stuckAttempts; i++) await ledger.acquire(jobId, `dead-${i}`);
  }
  const owner = leaseOf(await ledger.acquire('job-last-try', 'owner'));
  await ledger.acquire('job-is-stuck', 'dead');
  queue.places.set('job-last-try', 'held').set('job-is-stuck', 'orphaned');
  assert.deepEqual(await sweep.round(never), { open: 2, rung: 0, ended: 1, removed: 0, failed: 0 });
  assert.equal(await statusOf(ledger, 'job-is-stuck'), 'quarantined');
  await owner.commit(commitOf(owner, 8, 1));
});

test('the earliest deadline is that of the jobs that wait: not of those in hand, nor of what has ended', async () => {
  const { ledger, queue, sweep, now } = await setUp(['job-waits-1', 'job-late-held', 'job-late-waits']);
  await ledger.submit(specOf({ jobId: 'job-soon-held', expiresAt: '2026-01-01T00:10:00.000Z' }));
  await ledger.submit(specOf({ jobId: 'job-later-orphaned', expiresAt: '2026-01-01T02:00:00.000Z' }));
  for (const jobId of ['job-waits-1', 'job-late-waits']) queue.places.set(jobId, 'waiting');
  for (const jobId of ['job-late-held', 'job-soon-held']) queue.places.set(jobId, 'held');
  queue.places.set('job-later-orphaned', 'orphaned');
  assert.equal(sweep.earliestDeadline('tiny'), null, 'nothing was looked at yet');
  await sweep.round(never);
  assert.equal(sweep.earliestDeadline('tiny'), Date.parse('2026-01-01T01:00:00Z'));
  assert.equal(sweep.earliestDeadline('another'), null);
  now.ms = Date.parse('2026-01-01T01:30:00Z');
  await sweep.round(never);
  assert.equal(sweep.earliestDeadline('tiny'), Date.parse('2026-01-01T02:00:00Z'), 'the other one has expired');
});

test('an owner that takes the job between the looks of a sweep is not fenced', async () => {
  const { ledger, queue, sweep } = await setUp(['job-in-between']);
  for (let i = 1; i < limits.stuckAttempts; i++) await ledger.acquire('job-in-between', `dead-${i}`);
  let lease = leaseOf(await ledger.acquire('job-in-between', 'third'));
  queue.places.set('job-in-between', 'waiting');
  const looked = queue.whereabouts.bind(queue);
  queue.whereabouts = async (jobIds) => {
    const places = await looked(jobIds);
    // Behind the head that was read: the third attempt gives the job back, and another begins.
    await lease.release();
    lease = leaseOf(await ledger.acquire('job-in-between', 'fourth'));
    return places;
  };
  assert.equal((await sweep.round(never)).ended, 0);
  await lease.commit(commitOf(lease, 8, 1));
});

test('what is due ends without a worker: deadlines, cancels, results whose owner died before it finished', async () => {
  const { ledger, queue, sweep, now, store } = await setUp(['job-late-1', 'job-cancelled', 'job-half-ended']);
  for (const jobId of ['job-late-1', 'job-cancelled', 'job-half-ended']) queue.places.set(jobId, 'waiting');
  await ledger.requestCancel('job-cancelled');
  const lease = leaseOf(await ledger.acquire('job-half-ended', 'dying'));
  const before = store.objects.get('jobs/job-half-ended/head.json')!;
  await lease.quarantine({ code: 'source_changed', message: 'changed', at: '2026-01-01T00:00:00.000Z' });
  store.objects.set('jobs/job-half-ended/head.json', before);
  store.objects.set('index/open/job-half-ended', before);
  now.ms += 3_600_000;
  assert.deepEqual(await sweep.round(never), { open: 3, rung: 0, ended: 3, removed: 0, failed: 0 });
  assert.equal(await statusOf(ledger, 'job-late-1'), 'expired');
  assert.equal(await statusOf(ledger, 'job-cancelled'), 'cancelled');
  assert.equal(await statusOf(ledger, 'job-half-ended'), 'quarantined');
  assert.deepEqual([...queue.places], []);
});

test('damage to one job is told and the others are looked at; an outage ends the round', async () => {
  const { store, queue, sweep, lines } = await setUp(['job-broken', 'job-fine-1']);
  const head = store.objects.get('jobs/job-broken/head.json')!;
  store.objects.set('jobs/job-broken/head.json', { ...head, body: new TextEncoder().encode('{') });
  assert.deepEqual(await sweep.round(never), { open: 2, rung: 1, ended: 0, removed: 0, failed: 1 });
  assert.match(lines.join('\n'), /warn a job could not be looked at .*job-broken.*object_corrupt/);
  queue.down = true;
  await assert.rejects(sweep.round(never), { code: 'queue_unavailable' });
});

test('what was put right is counted where it was done: before an outage, and behind the reaper', async () => {
  const { ledger, queue, sweep } = await setUp(['job-absent-1', 'job-absent-2']);
  const before = { rung: 0, ended: 0, ...(await sweptSoFar()) };
  const enqueue = queue.enqueue.bind(queue);
  queue.enqueue = async (jobId) => {
    if (queue.rung.length > 0) throw new RetryableFailure('queue_unavailable', 'connection refused');
    await enqueue(jobId);
  };
  await assert.rejects(sweep.round(never), /connection refused/);
  const [rung] = queue.rung;
  assert.equal((await sweptSoFar())['rung'], before.rung + 1);
  for (let i = 0; i < limits.stuckAttempts; i++) await ledger.acquire(rung!, `dead-${i}`);
  queue.places.set(rung!, 'orphaned');
  assert.equal(await sweep.tend(rung!, never), 'ended');
  assert.equal((await sweptSoFar())['ended'], before.ended + 1);
});

test('a message of an ended job goes, one of a job that this ledger does not have stays', async () => {
  const { ledger, queue, sweep } = await setUp(['job-ended-1']);
  await leaseOf(await ledger.acquire('job-ended-1', 'w')).cancel();
  queue.places.set('job-ended-1', 'waiting').set('job-of-another', 'waiting');
  assert.deepEqual(await sweep.round(never), { open: 0, rung: 0, ended: 0, removed: 1, failed: 0 });
  assert.deepEqual([...queue.places.keys()], ['job-of-another']);
});

test('demand counts orphans and what is due soon, not what is held or due later', () => {
  assert.equal(
    demandOf({ waiting: 1, prioritized: 10, delayedDue: 100, delayedLater: 1000, held: 10_000, orphaned: 100_000 }),
    100_111,
  );
});

test('a rate lets callers pass one after another, and time that was not used is lost', async () => {
  const sleeps: number[] = [];
  let now = 0;
  const rate = new Rate({ ...systemClock, now: () => now, sleep: async (ms) => void sleeps.push(ms) }, 100);
  for (let i = 0; i < 3; i++) await rate.pass(never);
  assert.deepEqual(sleeps, [10, 20]);
  now = 1000;
  for (let i = 0; i < 2; i++) await rate.pass(never);
  assert.deepEqual(sleeps, [10, 20, 10]);
  await assert.rejects(rate.pass(AbortSignal.abort(new Error('stop'))), /stop/);
});

test('items are worked on side by side, no more than there is room for, and none after an error', async () => {
  let [running, most, taken] = [0, 0, 0];
  async function* items() {
    for (taken = 0; taken < 100; taken++) yield taken;
  }
  const work = async (fails: number, item: number) => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    if (item === fails) throw new Error(`item ${item}`);
  };
  await eachOf(items(), 4, (item) => work(-1, item));
  assert.deepEqual([most, taken], [4, 100]);
  await assert.rejects(
    eachOf(items(), 4, (item) => work(10, item)),
    /item 10/,
  );
  assert.ok(taken < 20, `${taken} items were taken`);
});

test('a wrong setting names itself, what was found and what is allowed; a password is not repeated', () => {
  const env = { LONGHAUL_REDIS_URL: 'redis://r', LONGHAUL_STORE: 'file:///s' };
  const config = parseConfig({ ...env, LONGHAUL_MODELS: 'a,b', LONGHAUL_SWEEP_SECONDS: '' }, 7);
  assert.deepEqual([config.LONGHAUL_MODELS, config.LONGHAUL_SWEEP_SECONDS], [['a', 'b'], 60]);
  assert.match(config.controllerName, /-7$/);
  assert.throws(() => parseConfig({}, 1), {
    code: 'invalid_config',
    message: /^LONGHAUL_REDIS_URL: .*; it is not set$/,
  });
  assert.throws(
    () => parseConfig({ ...env, LONGHAUL_MODELS: 'a b' }, 1),
    /^LonghaulError: LONGHAUL_MODELS: .*found "a b"/,
  );
  assert.throws(() => parseConfig({ ...env, LONGHAUL_SWEEP_RATE: '0' }, 1), /LONGHAUL_SWEEP_RATE: .*; found "0"/);
  assert.throws(
    () => parseConfig({ ...env, LONGHAUL_REDIS_URL: 'http://:secret@r' }, 1),
    (error: Error) => !error.message.includes('secret'),
  );
});
