import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { connectRedis } from '@longhaul/core/redis';
import type { FollowOptions } from '@longhaul/producer';
import fc from 'fast-check';
import { waitFor } from '../support/cluster.ts';
import { startTestRedis, type TestRedis } from '../support/redis.ts';
import { recordsOf, Screen, StreamingJob } from '../support/streaming-job.ts';

let redis: TestRedis;
let jobs = 0;

before(async () => {
  redis = await startTestRedis();
});
after(async () => {
  await redis.close();
});

async function start(t?: TestContext): Promise<StreamingJob> {
  const job = await StreamingJob.start(`job-follow-${++jobs}`, redis.url);
  t?.after(() => job.close());
  return job;
}

async function inRedis<T>(work: (raw: ReturnType<typeof connectRedis>) => Promise<T>): Promise<T> {
  const raw = connectRedis({ url: redis.url, name: 'test', onNotice: () => {}, whileAway: 'fail' });
  try {
    return await work(raw);
  } finally {
    raw.disconnect();
  }
}

/** Follows from `from` until `to` records stand, then leaves. */
async function upTo(job: StreamingJob, from: number, to: number): Promise<Screen> {
  const screen = new Screen(from);
  if (from >= to) return screen;
  for await (const event of job.follow({ after: from })) {
    screen.show(event);
    if (screen.position === to) break;
  }
  return screen;
}

async function toTheEnd(
  job: StreamingJob,
  from = 0,
  options: Partial<FollowOptions> = {},
  screen = new Screen(from),
): Promise<Screen> {
  for await (const event of job.follow({ after: from, ...options })) screen.show(event);
  return screen;
}

/** A follower that is to be taken back to somewhere must have come farther: another one's position says nothing of its own. */
const shownUpTo = (screen: Screen, position: number) =>
  waitFor(
    async () => (screen.position === position ? true : null),
    60_000,
    () => `a follower to show ${position} records; it shows ${screen.position}`,
  );

test('a reader that comes back at any position of a short output gets the rest once and in order', async (t) => {
  const job = await start(t);
  await job.emit(4);
  await job.commit();
  await job.emit(8);
  // Redis holds 3 to 12, the ledger 1 to 4.
  await inRedis((raw) => raw.xtrim(`longhaul:{${job.jobId}}:live`, 'MINID', '1-3'));
  for (let from = 0; from <= 12; from++) {
    assert.deepEqual((await upTo(job, from, 12)).records, recordsOf(from + 1, 12), `from ${from}`);
  }
  await job.commit();
  await job.end('complete');
  for (let from = 0; from <= 12; from++) {
    assert.deepEqual((await toTheEnd(job, from)).records, recordsOf(from + 1, 12), `from ${from}, ended`);
  }
});

test('a reader that comes back anywhere in a long output gets the rest, before, in and after what Redis holds', async (t) => {
  const job = await start(t);
  const committed = 7000;
  const end = 8000;
  for (let i = 0; i < 4; i++) {
    await job.emit(committed / 4);
    await job.commit();
  }
  await job.emit(end - committed);
  const first = await inRedis(async (raw) => {
    const [entry] = await raw.xrange(`longhaul:{${job.jobId}}:live`, '-', '+', 'COUNT', 1);
    return Number(entry![0].split('-')[1]);
  });
  assert.ok(first > 3000 && first < committed, `Redis holds the output from ${first}`);
  const seed = Date.now() % 2 ** 31;
  t.diagnostic(`seed ${seed}`);
  const random = fc.sample(fc.integer({ min: 0, max: end }), { seed, numRuns: 6 });
  for (const from of [0, first - 2, first - 1, first, committed - 1, committed, committed + 1, end - 1, ...random]) {
    const { records } = await upTo(job, from, end);
    assert.equal(records.length, end - from, `from ${from}`);
    assert.deepEqual(records, recordsOf(from + 1, end), `from ${from}`);
  }
});

test('what Redis loses of the stream loses nothing of the output: trimmed, deleted, all of Redis, restarted empty', async (t) => {
  const losses = {
    trimmed: (job: StreamingJob) => inRedis((raw) => raw.xtrim(`longhaul:{${job.jobId}}:live`, 'MAXLEN', 1)),
    'stream deleted': (job: StreamingJob) => inRedis((raw) => raw.del(`longhaul:{${job.jobId}}:live`)),
    'state deleted': (job: StreamingJob) => inRedis((raw) => raw.del(`longhaul:{${job.jobId}}:state`)),
    flushed: () => inRedis((raw) => raw.flushall()),
    'restarted empty': () => redis.restartEmpty(),
  };
  for (const [what, lose] of Object.entries(losses)) {
    const job = await start(t);
    await job.emit(3);
    await job.commit();
    await job.emit(3);
    const following = toTheEnd(job);
    const committed = toTheEnd(job, 0, { committedOnly: true });
    await upTo(job, 0, 6);
    await lose(job);
    await job.emit(3);
    await job.commit();
    await lose(job);
    await job.emit(2);
    await job.commit();
    await job.end('complete');
    const screen = await following;
    assert.deepEqual(screen.records, recordsOf(1, 11), what);
    assert.deepEqual(screen.rewinds, [], what);
    assert.deepEqual((await committed).records, recordsOf(1, 11), what);
  }
});

test('a takeover and an early end take back what was not committed, for who follows the tail alone', async (t) => {
  const job = await start(t);
  await job.emit(3);
  await job.commit();
  await job.emit(4);
  const shown = new Screen();
  const following = toTheEnd(job, 0, {}, shown);
  const committed = toTheEnd(job, 0, { committedOnly: true });
  await shownUpTo(shown, 7);
  await job.takeOver();
  await job.emit(6);
  const late = await upTo(job, 0, 9);
  assert.deepEqual(late.records, recordsOf(1, 9));
  await shownUpTo(shown, 9);
  await job.end('cancel');
  const screen = await following;
  assert.deepEqual(screen.records, recordsOf(1, 3));
  assert.deepEqual(screen.rewinds.at(-1), { from: 9, to: 3 });
  const ledgerOnly = await committed;
  assert.deepEqual([ledgerOnly.records, ledgerOnly.rewinds], [recordsOf(1, 3), []]);
});

test('a damaged checkpoint takes back committed records, which come again; who wants committed ones only never hears of it', async (t) => {
  for (const redisToo of [false, true]) {
    const job = await start(t);
    await job.emit(3);
    await job.commit();
    await job.emit(3);
    await job.commit();
    await job.emit(2);
    const shown = new Screen();
    const following = toTheEnd(job, 0, {}, shown);
    const committed = toTheEnd(job, 0, { committedOnly: true });
    await shownUpTo(shown, 8);
    if (redisToo) await inRedis((raw) => raw.flushall());
    await job.takeOver({ damaged: true });
    assert.equal(job.committed, 3, 'the committed end did not go back');
    await job.emit(4);
    await job.commit();
    await job.end('complete');
    const screen = await following;
    assert.deepEqual(screen.records, recordsOf(1, 7));
    assert.equal(screen.rewinds.at(-1)?.to, 3);
    const ledgerOnly = await committed;
    assert.deepEqual([ledgerOnly.records, ledgerOnly.rewinds], [recordsOf(1, 7), []]);
  }
});

test('whatever happens to Redis and whoever owns the job, what stands at the end is the output, once and in order', async (t) => {
  const seed = Date.now() % 2 ** 31;
  t.diagnostic(`seed ${seed}`);
  const step = fc.constantFrom(
    'emit',
    'emit',
    'emit',
    'commit',
    'commit',
    'trim',
    'del',
    'flush',
    'takeover',
    'zombie',
    'restore',
    'wait',
  );
  const schedule = fc.tuple(fc.array(step, { minLength: 5, maxLength: 30 }), fc.nat(20), fc.boolean());
  const run = fc.asyncProperty(schedule, async ([steps, rejoin, cancelled]) => {
    const job = await start();
    const leave = new AbortController();
    try {
      const readers = [
        toTheEnd(job, 0, { signal: leave.signal }),
        toTheEnd(job, 0, { committedOnly: true, signal: leave.signal }),
      ];
      let furthest = 0;
      for (const what of steps) {
        if (what === 'emit') await job.emit(1 + (job.sampled % 3));
        if (what === 'commit') await job.commit();
        furthest = Math.max(furthest, job.committed);
        // A third attempt in a row without a commit would end the job.
        if (what === 'takeover' && job.stuckAttempts < 2) await job.takeOver();
        if (what === 'restore' && job.stuckAttempts < 2) await job.takeOver({ damaged: true });
        if (what === 'trim') await inRedis((raw) => raw.xtrim(`longhaul:{${job.jobId}}:live`, 'MAXLEN', 2));
        if (what === 'del') await inRedis((raw) => raw.del(`longhaul:{${job.jobId}}:live`));
        if (what === 'flush') await inRedis((raw) => raw.flushall());
        if (what === 'zombie' && job.epoch > 1) {
          const ahead = recordsOf(1, job.sampled + 3).map((record) => ({ kind: 'token', ...record }) as const);
          await job.live.append(job.jobId, job.epoch - 1, [{ kind: 'begin', position: 0 }, ...ahead]);
        }
        if (what === 'wait') await new Promise((resolve) => setTimeout(resolve, 20));
      }
      // One that lost its connection comes back with what it had, however much of it is committed.
      const had = Math.min(rejoin, job.committed);
      const rejoined = toTheEnd(job, had);
      // A job that went back samples the same again: it cannot be complete with less than it had committed once.
      if (!cancelled && job.sampled < furthest) await job.emit(furthest - job.sampled);
      if (!cancelled) await job.commit();
      await job.end(cancelled ? 'cancel' : 'complete');
      const [tail, committed] = await Promise.all(readers);
      assert.deepEqual(tail!.records, recordsOf(1, job.committed));
      // What was committed once stays with such a reader, also where the job is cancelled before it got there again.
      const atLeast = cancelled && steps.includes('restore') ? committed!.records.length : job.committed;
      assert.ok(atLeast >= job.committed);
      assert.deepEqual(committed!.records, recordsOf(1, atLeast));
      assert.deepEqual(committed!.rewinds, []);
      assert.deepEqual((await rejoined).records, recordsOf(had + 1, job.committed));
    } finally {
      leave.abort();
      await job.close();
    }
  });
  await fc.assert(run, { seed, numRuns: 25 });
});
