import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { LiveEvent, Progress } from '@longhaul/core/contracts';
import { connectRedis } from '@longhaul/core/redis';
import { LiveGap, type LiveNews, type LiveStream, openLiveStream } from '@longhaul/core/stream';
import { startTestRedis, type TestRedis } from '../support/redis.ts';

let redis: TestRedis;
let live: LiveStream;
let jobs = 0;
let jobId = '';
const notices: string[] = [];

before(async () => {
  redis = await startTestRedis();
});
beforeEach(() => {
  jobs += 1;
  jobId = `job-live-${jobs}`;
  notices.length = 0;
  live = openLiveStream({ url: redis.url, onNotice: (text) => notices.push(text) });
});
afterEach(async () => {
  await live.close();
});
after(async () => {
  await redis.close();
});

const begin = (position: number): LiveEvent => ({ kind: 'begin', position });
const end = (outputCount: number): LiveEvent => ({ kind: 'end', status: 'done', finishReason: 'length', outputCount });

function tokens(from: number, to: number): LiveEvent[] {
  return Array.from({ length: to - from + 1 }, (_, i) => token(from + i));
}

function token(position: number): LiveEvent {
  return { kind: 'token', position, token: position % 50_000, logprob: -0.5, text: ` ${position}` };
}

function progress(epoch: number, count: number): Progress {
  return {
    epoch,
    worker: `w${epoch}`,
    phase: 'read',
    tokens: count,
    bytes: count * 4,
    totalBytes: null,
    outputTokens: 0,
    tokensPerSecond: 1.5,
    cachedTokens: 0,
    cachedBytes: 0,
    committedTokens: 0,
    commits: 0,
    updatedAt: new Date(0).toISOString(),
  };
}

interface FollowOptions {
  readonly epoch?: number | null;
  readonly signal?: AbortSignal;
}

/** Reads until `end`; `got` grows as news come. */
function follow(from: number, got: LiveNews[], options: FollowOptions = {}): Promise<void> {
  const { epoch = null, signal = AbortSignal.timeout(30_000) } = options;
  return (async () => {
    for await (const news of live.read(jobId, { after: from, epoch, signal })) got.push(news);
  })();
}

/** The events as a reader hears them of the owner of `epoch`. */
const heard = (epoch: number, ...events: LiveEvent[]) => events.map((event) => ({ ...event, epoch }));
const rewind = (epoch: number, from: number, to: number) => ({ kind: 'rewind', from, to, epoch });

const rawRedis = () => connectRedis({ url: redis.url, name: 'test', onNotice: () => {}, whileAway: 'fail' });

async function until(what: string, ask: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 10_000; !ask(); await delay(5)) {
    if (performance.now() > deadline) throw new Error(`waited 10 s for ${what}`);
  }
}

test('a reader gets what is there, then what comes, then the end', async () => {
  assert.equal(await live.append(jobId, 1, [begin(0), ...tokens(1, 700)]), 701);
  const got: LiveNews[] = [];
  const reading = follow(0, got);
  await until('the stored ones', () => got.length === 700);
  assert.equal(await live.append(jobId, 1, [...tokens(701, 702), end(702)]), 3);
  await reading;
  assert.deepEqual(got, heard(1, ...tokens(1, 702), end(702)));
  const later: LiveNews[] = [];
  await follow(700, later);
  assert.deepEqual(later, heard(1, ...tokens(701, 702), end(702)));
});

test('a batch that is sent again is taken once, and nothing follows an end under its epoch', async () => {
  await live.append(jobId, 1, [begin(0), ...tokens(1, 10)]);
  assert.equal(await live.append(jobId, 1, [begin(0), ...tokens(6, 12)]), 2);
  assert.equal(await live.append(jobId, 1, [end(12), end(12), token(13), begin(20)]), 1);
  assert.equal(await live.append(jobId, 1, [token(13), end(13)]), 0);
  const got: LiveNews[] = [];
  await follow(0, got);
  assert.deepEqual(got, heard(1, ...tokens(1, 12), end(12)));
});

test('a new owner goes on from its committed end: what was shown beyond is taken back and comes again', async () => {
  await live.append(jobId, 1, [begin(0), ...tokens(1, 10)]);
  const got: LiveNews[] = [];
  const reading = follow(0, got);
  await until('the first owner', () => got.length === 10);
  assert.equal(await live.append(jobId, 2, [begin(6)]), 1);
  await until('the rewind, before any token of the new owner', () => got.length === 11);
  await live.append(jobId, 2, [...tokens(7, 12), end(12)]);
  await reading;
  assert.deepEqual(got, [...heard(1, ...tokens(1, 10)), rewind(2, 10, 6), ...heard(2, ...tokens(7, 12), end(12))]);

  // One that comes later is sent to the ledger for what is committed, and hears no rewind.
  await assert.rejects(follow(5, []), (error) => error instanceof LiveGap && error.firstPosition === 7);
  const late: LiveNews[] = [];
  await follow(6, late);
  assert.deepEqual(late, heard(2, ...tokens(7, 12), end(12)));
});

test('a zombie is refused, whichever key of the job Redis lost', async () => {
  await live.append(jobId, 3, [begin(4), ...tokens(5, 9)]);
  const zombie = async (what: string) => {
    assert.equal(await live.append(jobId, 2, tokens(10, 11)), 0, `tokens, ${what}`);
    assert.equal(await live.append(jobId, 2, [begin(20)]), 0, `a beginning, ${what}`);
    assert.equal(await live.append(jobId, 2, [end(9)]), 0, `an end, ${what}`);
  };
  await zombie('nothing lost');
  const raw = rawRedis();
  try {
    await raw.del(`longhaul:{${jobId}}:state`);
    await zombie('the state lost');
    assert.equal(await live.append(jobId, 3, [token(10)]), 1);
    await raw.del(`longhaul:{${jobId}}:live`);
    await zombie('the stream lost');
  } finally {
    raw.disconnect();
  }
});

test('a zombie that is first after all was lost harms no reader, and the owner shuts it out again', async () => {
  await live.append(jobId, 3, [begin(4), ...tokens(5, 9)]);
  const got: LiveNews[] = [];
  const reading = follow(4, got, { epoch: 3 });
  await until('the first ones', () => got.length === 5);
  const raw = rawRedis();
  try {
    await raw.flushall();
  } finally {
    raw.disconnect();
  }
  assert.equal(await live.append(jobId, 2, [begin(0), ...tokens(1, 12)]), 13);
  assert.equal(await live.append(jobId, 2, [end(12)]), 1);
  assert.equal(await live.postProgress(jobId, progress(2, 12)), true);
  // Who comes from the ledger knows the owner's epoch, and hears nothing of the zombie.
  const fresh: LiveNews[] = [];
  const late = follow(9, fresh, { epoch: 3 });
  assert.equal(await live.append(jobId, 3, [token(10), token(11)]), 2);
  assert.equal(await live.append(jobId, 2, [token(13), end(13)]), 0);
  assert.equal(await live.postProgress(jobId, progress(2, 13)), false);
  await live.append(jobId, 3, [end(11)]);
  await Promise.all([reading, late]);
  assert.deepEqual(got, heard(3, ...tokens(5, 11), end(11)));
  assert.deepEqual(fresh, heard(3, ...tokens(10, 11), end(11)));
});

test('a job that ended before its last tokens were committed takes them back', async () => {
  await live.append(jobId, 1, [begin(0), ...tokens(1, 8)]);
  // Its own owner ends it, or whoever finds it due under the next epoch.
  for (const epoch of [1, 2]) {
    await live.append(jobId, epoch, [{ kind: 'end', status: 'cancelled', finishReason: 'cancelled', outputCount: 5 }]);
    const got: LiveNews[] = [];
    await follow(8, got, { epoch: 1 });
    assert.deepEqual(
      got.map((news) => (news.kind === 'rewind' ? rewind(news.epoch, news.from, news.to) : news.kind)),
      [rewind(epoch, 8, 5), 'end'],
    );
  }
});

test('what follows a redrive is heard by who comes then, and the old end is not', async () => {
  await live.append(jobId, 1, [begin(0), ...tokens(1, 3), end(3)]);
  assert.equal(await live.append(jobId, 2, [begin(3), ...tokens(4, 5), end(5)]), 4);
  assert.equal(await live.append(jobId, 1, [end(3)]), 0);
  for (const epoch of [null, 1, 2]) {
    const got: LiveNews[] = [];
    await follow(3, got, { epoch });
    assert.deepEqual(got, heard(2, ...tokens(4, 5), end(5)));
  }
});

test('an end tells who missed something to go to the ledger first', async () => {
  await live.append(jobId, 1, [begin(0), ...tokens(1, 3)]);
  await live.append(jobId, 1, [end(6)]);
  const got: LiveNews[] = [];
  await assert.rejects(follow(0, got), (error) => error instanceof LiveGap && error.firstPosition === 7);
  assert.deepEqual(got, heard(1, ...tokens(1, 3)));
  const whole: LiveNews[] = [];
  await follow(6, whole);
  assert.deepEqual(whole, heard(1, end(6)));
});

test('progress of an older epoch is dropped, and shuts out no newer one', async () => {
  assert.equal(await live.readProgress(jobId), null);
  assert.equal(await live.postProgress(jobId, progress(2, 100)), true);
  assert.equal(await live.postProgress(jobId, progress(1, 999)), false);
  assert.deepEqual(await live.readProgress(jobId), progress(2, 100));
  assert.equal(await live.postProgress(jobId, progress(2, 200)), true);
  assert.equal(await live.append(jobId, 1, tokens(1, 1)), 0, 'progress fences the stream too');
  assert.equal(await live.postProgress(jobId, progress(3, 150)), true);
  assert.deepEqual(await live.readProgress(jobId), progress(3, 150));
});

test('a trimmed start is a gap, and so is a hole in the middle', async () => {
  // Trimming is by whole nodes of a hundred entries or so.
  await live.append(jobId, 1, tokens(1, 6000));
  await assert.rejects(follow(0, []), (error) => error instanceof LiveGap && error.firstPosition > 1000);
  const got: LiveNews[] = [];
  const gap = assert.rejects(follow(5998, got), (error) => error instanceof LiveGap && error.firstPosition === 6005);
  await until('the tail', () => got.length === 2);
  await live.append(jobId, 1, tokens(6005, 6005));
  await gap;
  assert.deepEqual(got, heard(1, ...tokens(5999, 6000)));
});

test('a stream stays below a megabyte, whatever its events tell of each token', async () => {
  const top = Array.from({ length: 20 }, (_, i): [number, number] => [50_000 + i, -1.2345678806304932 - i]);
  const raw = rawRedis();
  try {
    for (const [i, more] of [{}, { top }].entries()) {
      const id = `${jobId}-${i}`;
      await live.append(
        id,
        1,
        tokens(1, 8000).map((event) => ({ ...event, ...more })),
      );
      const bytes = Number(await raw.call('MEMORY', 'USAGE', `longhaul:{${id}}:live`, 'SAMPLES', '0'));
      const entries = await raw.xlen(`longhaul:{${id}}:live`);
      assert.ok(bytes < 950_000 && entries >= 1000, `${entries} entries take ${bytes} bytes`);
    }
  } finally {
    raw.disconnect();
  }
});

test('a reader goes on over a restart of Redis, without loss or repeat', async () => {
  const got: LiveNews[] = [];
  await live.append(jobId, 1, tokens(1, 5));
  const reading = follow(0, got);
  await until('the first ones', () => got.length === 5);
  // Append-only writes reach the disk every second.
  await delay(1100);
  await redis.kill9();
  await assert.rejects(live.append(jobId, 1, tokens(6, 6)), { code: 'queue_unavailable' });
  await redis.restart();
  for (let taken = 0; taken < 4; ) taken = await live.append(jobId, 1, [...tokens(4, 8), end(8)]).catch(() => 0);
  await reading;
  assert.deepEqual(got, heard(1, ...tokens(1, 8), end(8)));
  assert.ok(notices.some((text) => text.includes('is out of reach')));
});

test('a stream lost with all of Redis still ends for a reader of the committed output', async () => {
  const got: LiveNews[] = [];
  await live.append(jobId, 1, tokens(1, 5));
  const reading = follow(0, got);
  await until('the first ones', () => got.length === 5);
  await redis.restartEmpty();
  for (let taken = 0; taken < 1; ) taken = await live.append(jobId, 1, [end(5)]).catch(() => 0);
  await reading;
  assert.deepEqual(got, heard(1, ...tokens(1, 5), end(5)));
});

test('stopping a reader, closing the stream, and asking for cancellation', async () => {
  const stop = new AbortController();
  const stopped = assert.rejects(follow(0, [], { signal: stop.signal }), /enough/);
  await delay(50);
  stop.abort(new Error('enough'));
  await stopped;

  assert.equal(await live.cancelSignalled(jobId), false);
  await live.signalCancel(jobId);
  assert.equal(await live.cancelSignalled(jobId), true);

  const open = assert.rejects(follow(0, []), { code: 'closed' });
  await delay(50);
  await live.close();
  await open;
  await assert.rejects(live.readProgress(jobId), { code: 'closed' });
});

test('a reader that leaves while Redis is away is gone at once, and the stream closes', async () => {
  await live.append(jobId, 1, [begin(0), token(1)]);
  const stop = new AbortController();
  const reading = live.read(jobId, { after: 0, epoch: null, signal: stop.signal })[Symbol.asyncIterator]();
  await reading.next();
  const next = reading.next();
  await redis.stop();
  try {
    while (!notices.some((text) => text.includes('longhaul-reader') && text.includes('is out of reach')))
      await delay(5);
    stop.abort(new Error('no longer wanted'));
    await assert.rejects(next, { message: 'no longer wanted' });
    await live.close();
  } finally {
    await redis.restart();
  }
});

test('what no version of ours wrote is refused with the key that holds it', async () => {
  const raw = rawRedis();
  try {
    await raw.hset(`longhaul:{${jobId}}:state`, 'progress', '{"epoch":-1}');
    await assert.rejects(live.readProgress(jobId), { code: 'object_corrupt', message: new RegExp(jobId) });
    await raw.xadd(`longhaul:{${jobId}}:live`, '1-1', 'event', 'not json');
    await assert.rejects(follow(0, []), { code: 'object_corrupt' });
  } finally {
    raw.disconnect();
  }
});

test('what is kept expires within a day', async () => {
  await live.append(jobId, 1, tokens(1, 1));
  await live.postProgress(jobId, progress(1, 1));
  await live.signalCancel(jobId);
  const raw = rawRedis();
  try {
    const keys = await raw.keys(`longhaul:{${jobId}}:*`);
    assert.equal(keys.length, 3);
    for (const key of keys) {
      const left = await raw.pttl(key);
      assert.ok(left > 0 && left <= 86_400_000, `${key} lives ${left} ms`);
    }
  } finally {
    raw.disconnect();
  }
});

test('a URL that is none of Redis is refused, and a password never shows', async () => {
  assert.throws(() => openLiveStream({ url: 'http://localhost', onNotice: () => {} }), { code: 'invalid_config' });
  const wrong = openLiveStream({
    url: redis.url.replace(/:[0-9a-f]+@/, ':hunter2@'),
    onNotice: (t) => notices.push(t),
  });
  try {
    await assert.rejects(wrong.readProgress(jobId), { code: 'queue_unavailable' });
    await until('a notice', () => notices.some((text) => text.includes('WRONGPASS')));
    assert.ok(!notices.join('\n').includes('hunter2'));
  } finally {
    await wrong.close();
  }
});
