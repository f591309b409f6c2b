import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LiveEvent, LonghaulError, RetryableFailure } from '@longhaul/core/contracts';
import { type FollowEvent, followJob, systemClock } from '@longhaul/producer';
import fc from 'fast-check';
import { FakeLedger, FakeLive, headOf, jobId, progressOf, specOf, tokenAt } from '../support/producer-fakes.ts';

const live = (position: number): LiveEvent => ({ kind: 'token', ...tokenAt(position) });
const end = (outputCount: number): LiveEvent => ({ kind: 'end', status: 'done', finishReason: 'length', outputCount });

function setUp(kind: 'generate' | 'score' = 'generate') {
  const ledger = new FakeLedger();
  ledger.specs.set(jobId, specOf(kind));
  ledger.head = headOf();
  return { ledger, stream: new FakeLive() };
}

const options = (after = 0, signal = AbortSignal.timeout(10_000)) => ({
  after,
  committedOnly: false,
  signal,
  clock: systemClock,
  pollMs: 5,
  patienceMs: 60_000,
});

async function collect(ledger: FakeLedger, stream: FakeLive | null, react: (event: FollowEvent) => void, after = 0) {
  const events: FollowEvent[] = [];
  for await (const event of followJob(ledger, stream, jobId, options(after))) {
    events.push(event);
    react(event);
  }
  return events;
}

const positions = (events: readonly FollowEvent[]) =>
  events.flatMap((e) => (e.kind === 'record' && 'position' in e.record ? [e.record.position] : []));
const upTo = (n: number, from = 1) => Array.from({ length: n - from + 1 }, (_, i) => from + i);
const kinds = (events: readonly FollowEvent[]) => new Set(events.map((e) => e.kind));

test('a job that ended long ago is given from the ledger alone, live side or none', async () => {
  for (const stream of [null, new FakeLive()]) {
    const { ledger } = setUp();
    ledger.commit(upTo(5).map(tokenAt));
    ledger.finish();
    const events = await collect(ledger, stream, () => {});
    assert.deepEqual(positions(events), upTo(5));
    assert.equal(events.at(-1)?.kind, 'result');
  }
});

test('--after leaves out what the caller has', async () => {
  const { ledger, stream } = setUp();
  ledger.commit(upTo(5).map(tokenAt));
  ledger.finish();
  assert.deepEqual(positions(await collect(ledger, stream, () => {}, 3)), [4, 5]);
});

test('committed output, then the live tail, then the result: nothing lost and nothing twice', async () => {
  const { ledger, stream } = setUp();
  ledger.commit(upTo(3).map(tokenAt));
  stream.emit(...upTo(6).map(live));
  const events = await collect(ledger, stream, (event) => {
    if (event.kind !== 'record' || !('position' in event.record)) return;
    if (event.record.position === 6) {
      ledger.commit(upTo(6, 4).map(tokenAt));
      stream.emit(live(7));
    }
    if (event.record.position === 7) {
      ledger.commit([tokenAt(7)]);
      ledger.finish();
      stream.emit(end(7));
    }
  });
  assert.deepEqual(positions(events), upTo(7));
  const committed = events.flatMap((e) => (e.kind === 'record' ? [e.committed] : []));
  assert.deepEqual(committed, [true, true, true, false, false, false, false]);
});

test('a stream that gives again what was given is heard once', async () => {
  const { ledger, stream } = setUp();
  ledger.commit(upTo(3).map(tokenAt));
  stream.repeats = true;
  stream.emit(...upTo(5).map(live), ...upTo(5).map(live));
  const events = await collect(ledger, stream, (event) => {
    if (event.kind !== 'record' || !('position' in event.record) || event.record.position !== 5) return;
    ledger.commit(upTo(5, 4).map(tokenAt));
    ledger.finish();
  });
  assert.deepEqual(positions(events), upTo(5));
});

test('a trimmed stream sends the follower to the ledger, which fills the gap once it is committed', async () => {
  const { ledger, stream } = setUp();
  stream.emit(...upTo(9).map(live));
  stream.first = 5;
  let looks = 0;
  ledger.onReadHead = () => {
    looks += 1;
    if (looks === 4) ledger.commit(upTo(6).map(tokenAt));
  };
  const events = await collect(ledger, stream, (event) => {
    if (event.kind === 'record' && 'position' in event.record && event.record.position === 9) {
      ledger.commit(upTo(9, 7).map(tokenAt));
      ledger.finish();
    }
  });
  assert.deepEqual(positions(events), upTo(9));
});

test('a stream with a hole in it is not followed across the hole', async () => {
  const { ledger, stream } = setUp();
  stream.emit(live(1), live(2), live(5), live(6));
  let looks = 0;
  ledger.onReadHead = () => {
    looks += 1;
    if (looks === 5) ledger.commit(upTo(4).map(tokenAt));
    if (looks === 12) {
      ledger.commit(upTo(6, 5).map(tokenAt));
      ledger.finish();
    }
  };
  assert.deepEqual(positions(await collect(ledger, stream, () => {})), upTo(6));
});

test('while Redis is away the ledger is polled; the follower says so once, and once when it is back', async () => {
  const { ledger, stream } = setUp();
  stream.down = true;
  let looks = 0;
  ledger.onReadHead = () => {
    looks += 1;
    if (looks === 4) ledger.commit(upTo(2).map(tokenAt));
    if (looks === 8) {
      stream.down = false;
      stream.emit(live(3));
    }
  };
  const events = await collect(ledger, stream, (event) => {
    if (event.kind !== 'record' || !('position' in event.record) || event.record.position !== 3) return;
    ledger.commit([tokenAt(3)]);
    ledger.finish();
  });
  assert.deepEqual(positions(events), upTo(3));
  const notices = events.flatMap((e) => (e.kind === 'notice' ? [e.code] : []));
  assert.deepEqual(notices, ['live_away', 'live_back']);
});

test('a Redis that never answers does not hold up the ledger', async () => {
  const { ledger, stream } = setUp();
  stream.hangs = true;
  let looks = 0;
  ledger.onReadHead = () => {
    looks += 1;
    if (looks === 3) ledger.commit(upTo(2).map(tokenAt));
    if (looks === 6) ledger.finish();
  };
  assert.deepEqual(positions(await collect(ledger, stream, () => {})), upTo(2));
});

test('a job whose end the stream never tells still ends, by the ledger', async () => {
  const { ledger, stream } = setUp();
  stream.emit(live(1));
  const events = await collect(ledger, stream, (event) => {
    if (event.kind !== 'record') return;
    ledger.commit([tokenAt(1)]);
    ledger.finish();
  });
  assert.equal(events.at(-1)?.kind, 'result');
});

test('a job that ends between the ledger and the live tail is given whole', async () => {
  const { ledger, stream } = setUp();
  ledger.commit(upTo(2).map(tokenAt));
  let looks = 0;
  ledger.onReadHead = () => {
    looks += 1;
    // The first look saw a running job; the job ends before the stream is opened.
    if (looks !== 2) return;
    ledger.commit(upTo(5, 3).map(tokenAt));
    ledger.finish();
    stream.emit(end(5));
  };
  assert.deepEqual(positions(await collect(ledger, stream, () => {})), upTo(5));
});

test('an end that comes before its result is waited for without a busy loop', async () => {
  const { ledger, stream } = setUp();
  stream.emit(end(0));
  setTimeout(() => ledger.finish(), 60);
  await collect(ledger, stream, () => {});
  assert.ok(stream.reads < 40, `the stream was read ${stream.reads} times in 60 ms at a poll of 5 ms`);
});

test('tokens of a job that was cancelled before they were committed are taken back', async () => {
  const { ledger, stream } = setUp();
  ledger.commit(upTo(2).map(tokenAt));
  stream.emit(...upTo(5).map(live));
  const events = await collect(ledger, stream, (event) => {
    if (event.kind === 'record' && 'position' in event.record && event.record.position === 5)
      ledger.finish('cancelled');
  });
  assert.deepEqual(events.at(-2), { kind: 'rewind', from: 5, to: 2 });
});

/** What stands after every record and rewind was taken in: a follower's screen. */
function standing(events: readonly FollowEvent[]): number[] {
  const shown: number[] = [];
  for (const event of events) {
    if (event.kind === 'rewind') {
      assert.equal(shown.at(-1), event.from, 'a rewind from where the follower does not stand');
      shown.length = event.to;
    }
    if (event.kind === 'record' && 'position' in event.record) shown.push(event.record.position);
  }
  return shown;
}

test('a takeover takes back what was not committed, by the stream or, where Redis is away, by the ledger', async () => {
  for (const told of ['stream', 'ledger'] as const) {
    const { ledger, stream } = setUp();
    ledger.commit(upTo(2).map(tokenAt));
    stream.emit({ kind: 'begin', position: 0 }, ...upTo(6).map(live));
    let seen = 0;
    const events = await collect(ledger, stream, (event) => {
      if (event.kind === 'record' && ++seen === 6) {
        ledger.head = { ...ledger.head!, epoch: 2 };
        if (told === 'stream') stream.emitAs(2, { kind: 'begin', position: 2 });
        else stream.down = true;
      }
      if (event.kind !== 'rewind') return;
      assert.deepEqual(event, { kind: 'rewind', from: 6, to: 2 });
      ledger.commit(upTo(8, 3).map(tokenAt));
      ledger.finish();
    });
    assert.deepEqual(positions(events), [...upTo(6), ...upTo(8, 3)], told);
    assert.deepEqual(standing(events), upTo(8), told);
  }
});

test('what the last owner streamed is not given after its successor took over, before that one says a word', async () => {
  const { ledger, stream } = setUp();
  stream.emit({ kind: 'begin', position: 0 }, ...upTo(4).map(live));
  let reads = 0;
  const events = await collect(ledger, stream, (event) => {
    if (positions([event])[0] === 4 && ledger.head?.epoch === 1) {
      ledger.head = { ...ledger.head!, epoch: 2 };
    }
    if (event.kind !== 'rewind') return;
    reads = stream.reads;
    // Several looks at the ledger later the new owner commits.
    let looks = 0;
    ledger.onReadHead = () => {
      if (++looks === 5) {
        ledger.commit(upTo(5).map(tokenAt));
        ledger.finish();
      }
    };
  });
  assert.ok(stream.reads > reads, 'the stream was not listened to again');
  assert.deepEqual(positions(events), [...upTo(4), ...upTo(5)]);
  assert.deepEqual(standing(events), upTo(5));
});

test('a committed end that goes back to a restore point takes back what lay beyond it, and it comes again', async () => {
  const { ledger, stream } = setUp();
  ledger.commit(upTo(6).map(tokenAt));
  let seen = 0;
  const react = (event: FollowEvent) => {
    if (event.kind === 'record' && ++seen === 6) {
      ledger.records.length = 0;
      ledger.head = headOf({ epoch: 2 });
      ledger.commit(upTo(3).map(tokenAt));
      setTimeout(() => {
        ledger.commit(upTo(7, 4).map(tokenAt));
        ledger.finish();
      }, 30);
    }
  };
  const events = await collect(ledger, stream, react);
  assert.deepEqual(
    events.filter((e) => e.kind === 'rewind'),
    [{ kind: 'rewind', from: 6, to: 3 }],
  );
  assert.deepEqual(standing(events), upTo(7));
});

test('who wants committed records only gets each once and is never taken back, and the stream is left alone', async () => {
  const { ledger, stream } = setUp();
  ledger.commit(upTo(6).map(tokenAt));
  stream.emit({ kind: 'begin', position: 0 }, ...upTo(9).map(live));
  let seen = 0;
  const events: FollowEvent[] = [];
  for await (const event of followJob(ledger, stream, jobId, { ...options(), committedOnly: true })) {
    events.push(event);
    if (event.kind === 'record' && ++seen === 6) {
      ledger.records.length = 0;
      ledger.head = headOf({ epoch: 2 });
      ledger.commit(upTo(3).map(tokenAt));
      setTimeout(() => {
        ledger.commit(upTo(8, 4).map(tokenAt));
        ledger.finish();
      }, 30);
    }
  }
  assert.equal(stream.reads, 0);
  assert.deepEqual(positions(events), upTo(8));
  assert.ok(!kinds(events).has('rewind'));
  assert.ok(events.every((event) => event.kind !== 'record' || event.committed));
});

test('records that the caller has from before are never taken back', async () => {
  const { ledger, stream } = setUp();
  stream.emit({ kind: 'begin', position: 0 }, ...upTo(6).map(live));
  const react = (event: FollowEvent) => {
    if (event.kind === 'rewind') {
      ledger.commit(upTo(6).map(tokenAt));
      ledger.finish();
    }
    if (event.kind !== 'record' || positions([event])[0] !== 6 || ledger.result !== null) return;
    ledger.head = { ...ledger.head!, epoch: 2 };
    stream.emitAs(2, { kind: 'begin', position: 0 }, ...upTo(5).map(live));
  };
  const events = await collect(ledger, stream, react, 4);
  assert.deepEqual(
    events.filter((e) => e.kind === 'rewind'),
    [{ kind: 'rewind', from: 6, to: 4 }],
  );
  assert.equal(positions(events).indexOf(4), -1);
});

test('progress of an older owner than the head names is not shown', async () => {
  const { ledger, stream } = setUp();
  ledger.head = headOf({ epoch: 2 });
  stream.progress = progressOf({ epoch: 1, tokens: 999 });
  setTimeout(() => ledger.finish(), 30);
  const events = await collect(ledger, stream, () => {});
  const shown = events.flatMap((e) => (e.kind === 'progress' ? [e.progress] : []));
  assert.ok(shown.length > 0);
  assert.ok(shown.every((progress) => progress.epoch === 2));
});

test('a result that a redrive has left behind is not the end', async () => {
  const { ledger, stream } = setUp();
  ledger.commit([tokenAt(1)]);
  ledger.finish('failed');
  const head = ledger.head;
  let looks = 0;
  ledger.onReadHead = () => {
    looks += 1;
    // Between the read of the result and that of the head.
    if (looks === 1) ledger.head = { ...head!, status: 'queued', generation: 1 };
    if (looks === 4) {
      ledger.finish();
      ledger.result = { ...ledger.result!, generation: 1 };
    }
  };
  const events = await collect(ledger, stream, () => {});
  const [last] = events.slice(-1);
  assert.ok(last?.kind === 'result' && last.result.status === 'succeeded');
});

test('committed output that does not fit together is refused', async () => {
  const { ledger, stream } = setUp();
  ledger.commit([tokenAt(1), tokenAt(3)]);
  ledger.finish();
  await assert.rejects(
    collect(ledger, stream, () => {}),
    { code: 'object_corrupt', message: /position 2 was due, found 3/ },
  );
  const short = setUp();
  short.ledger.commit([tokenAt(1)]);
  short.ledger.head = headOf({ status: 'done' }, { outputCount: 4 });
  short.ledger.result = {
    ...(short.ledger.result ?? (await import('../support/producer-fakes.ts')).resultOf('succeeded', 4)),
  };
  await assert.rejects(
    collect(short.ledger, null, () => {}),
    { code: 'object_corrupt', message: /4 records, the segments gave 1/ },
  );
});

test('a store that is away for a while is waited for, one that is away for good is an error', async () => {
  const { ledger, stream } = setUp();
  ledger.commit(upTo(3).map(tokenAt));
  ledger.finish();
  const away = () => new RetryableFailure('store_unavailable', 'no answer');
  ledger.failures.push(away(), away());
  const events = await collect(ledger, stream, () => {});
  assert.deepEqual(positions(events), upTo(3));
  assert.deepEqual(
    events.flatMap((e) => (e.kind === 'notice' ? [e.code] : [])),
    ['store_away', 'store_back'],
  );
  ledger.failures.push(...Array.from({ length: 50 }, away));
  const impatient = followJob(ledger, null, jobId, { ...options(), patienceMs: 20 });
  await assert.rejects(
    async () => {
      for await (const _ of impatient);
    },
    { code: 'store_unavailable' },
  );
});

test('score lines come from the ledger, and live tokens of another meaning are left alone', async () => {
  const { ledger, stream } = setUp('score');
  const line = { from: 0, to: 2048, scored: 2048, nats: 4000, logprobs: null };
  stream.emit(live(1));
  stream.progress = progressOf({ tokens: 2048, bytes: 8000, totalBytes: 16_000, tokensPerSecond: 100 });
  setTimeout(() => ledger.commit([line]), 20);
  const events = await collect(ledger, stream, (event) => {
    if (event.kind === 'record') ledger.finish();
  });
  assert.deepEqual(
    events.filter((e) => e.kind === 'record'),
    [{ kind: 'record', record: line, committed: true }],
  );
  assert.ok(kinds(events).has('progress'));
});

test('an unknown job is job_not_found, and leaving is the reason of the signal', async () => {
  await assert.rejects(
    collect(new FakeLedger(), null, () => {}),
    (e) => e instanceof LonghaulError && e.code === 'job_not_found',
  );
  const { ledger, stream } = setUp();
  const leave = new AbortController();
  setTimeout(() => leave.abort('SIGINT'), 20);
  const following = followJob(ledger, stream, jobId, options(0, leave.signal));
  await assert.rejects(
    async () => {
      for await (const _ of following);
    },
    (reason) => reason === 'SIGINT',
  );
});

test('whatever happens to Redis and whoever owns the job, what stands at the end is every position once, in order', async (t) => {
  const step = fc.constantFrom(
    'emit',
    'emit',
    'emit',
    'commit',
    'trim',
    'flush',
    'down',
    'up',
    'wait',
    'takeover',
    'restore',
  );
  const seed = Date.now() % 2 ** 31;
  t.diagnostic(`seed ${seed}`);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
      const { ledger, stream } = setUp();
      let sampled = 0;
      let epoch = 1;
      /** The lease passes on: what is not committed is lost, and a damaged checkpoint costs some of the rest. */
      const takeOver = (kept: number) => {
        epoch += 1;
        sampled = kept;
        ledger.records.length = kept;
        ledger.head = { ...ledger.head!, epoch, position: { ...ledger.head!.position, outputCount: kept } };
        stream.first = 1;
        stream.emitAs(epoch, { kind: 'begin', position: kept });
      };
      const commitAll = () => {
        if (sampled > ledger.records.length) ledger.commit(upTo(sampled, ledger.records.length + 1).map(tokenAt));
      };
      const worker = (async () => {
        for (const what of steps) {
          if (what === 'emit') stream.emitAs(epoch, live(++sampled));
          if (what === 'takeover') takeOver(ledger.records.length);
          if (what === 'restore') takeOver(Math.floor(ledger.records.length / 2));
          if (what === 'commit') commitAll();
          if (what === 'trim') stream.first = Math.max(stream.first, sampled - 1);
          if (what === 'flush') stream.flush();
          if (what === 'down' || what === 'up') stream.down = what === 'down';
          stream.changed();
          await new Promise((resolve) => (what === 'wait' ? setTimeout(resolve, 3) : setImmediate(resolve)));
        }
        commitAll();
        ledger.finish();
        stream.emitAs(epoch, end(sampled));
      })();
      const events: FollowEvent[] = [];
      for await (const event of followJob(ledger, stream, jobId, { ...options(), pollMs: 2 })) events.push(event);
      await worker;
      assert.deepEqual(standing(events), upTo(sampled));
      const takesBack = steps.includes('takeover') || steps.includes('restore');
      assert.ok(takesBack || !kinds(events).has('rewind'));
    }),
    { seed, numRuns: 150 },
  );
});
