import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  Abandoned,
  type Clock,
  JobSpec,
  type LiveEvent,
  limits,
  RejectedJob,
  RetryableFailure,
  type Task,
} from '@longhaul/core/contracts';
import { createLedger, type Ledger } from '@longhaul/core/ledger';
import { createStates } from '@longhaul/core/states';
import type { LiveNews, LiveStream } from '@longhaul/core/stream';
import { metric, spanName } from '@longhaul/core/telemetry';
import { EngineError } from '@longhaul/native';
import { trace } from '@opentelemetry/api';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import type { Document } from '../../worker/text/ports.ts';
import { Worker, type WorkerParts } from '../../worker/worker.ts';
import { byteTokenizer, type FakeEngineHooks, fakeEngine } from '../support/fake-engine.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { recordMetrics } from '../support/recorded.ts';
import * as tasks from '../support/tasks.ts';

const recorded = recordMetrics();
const spans = new InMemorySpanExporter();
trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter: spans })] }));

const clock: Clock = {
  now: () => performance.now(),
  date: () => new Date(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, Math.min(ms, 5));
      signal.addEventListener('abort', () => {
        clearTimeout(timer);
        reject(signal.reason);
      });
    }),
};

const text = 'It is a way I have of driving off the spleen. '.repeat(40);
const jobId = 'unit-worker-job';
const generate: Task = {
  kind: 'generate',
  prompt: ' And so',
  maxNewTokens: 30,
  sampling: tasks.greedySampling,
  stop: [],
  topLogprobs: 0,
};
const scoreTask: Task = { ...tasks.scoreTask, segmentTokens: 64 };

class FakeLive implements LiveStream {
  readonly events: LiveEvent[] = [];
  async append(_jobId: string, _epoch: number, events: readonly LiveEvent[]) {
    this.events.push(...events);
    return events.length;
  }
  postProgress = async () => true;
  readProgress = async () => null;
  signalCancel = async () => {};
  cancelSignalled = async () => false;
  close = async () => {};
  async *read(): AsyncIterable<LiveNews> {}
}

function document(): Document {
  const bytes = new TextEncoder().encode(text);
  return {
    pin: { tag: 'sha256:unit', bytes: bytes.length },
    totalBytes: bytes.length,
    async *read(from) {
      yield bytes.subarray(from);
    },
  };
}

interface Setup {
  readonly store: MemoryStore;
  readonly ledger: Ledger;
  readonly live: FakeLive;
  readonly fatal: Error[];
  readonly lost: string[];
  worker(hooks?: FakeEngineHooks, parts?: Partial<WorkerParts>): Worker;
}

async function setup(task: Task = scoreTask, expiresAt: string | null = null): Promise<Setup> {
  const store = new MemoryStore();
  const ledger = createLedger(store);
  const live = new FakeLive();
  const fatal: Error[] = [];
  const lost: string[] = [];
  await ledger.submit(
    JobSpec.parse({
      v: 1,
      jobId,
      tenant: 'default',
      createdAt: new Date().toISOString(),
      model: 'unit',
      task,
      document: { kind: 'inline', text: 'read by the fake' },
      compression: 'none',
      invalidUtf8: 'error',
      addBos: false,
      priority: 0,
      expiresAt,
    }),
  );
  const worker: Setup['worker'] = (hooks = {}, parts = {}) =>
    new Worker({
      ledger,
      live,
      engine: fakeEngine(hooks),
      tokenizer: byteTokenizer,
      openDocument: async () => document(),
      states: createStates(store),
      forks: 2,
      clock,
      log: () => {},
      name: 'unit',
      model: 'unit',
      policy: { chunkTokens: 64, commitSeconds: 3600, commitTokens: 256 },
      hungMs: 60_000,
      onLost: (lostJob, epoch) => lost.push(`${lostJob} ${epoch}`),
      onFatal: (error) => fatal.push(error),
      ...parts,
    });
  return { store, ledger, live, fatal, lost, worker };
}

const taken = (signal: AbortSignal = new AbortController().signal) => ({ jobId, signal });

test('a job that is read to its end is done, announced, and answered from the ledger the next time', async () => {
  const { ledger, live, worker } = await setup();
  assert.equal((await worker().handle(taken())).kind, 'done');
  const result = await ledger.readResult(jobId);
  assert.equal(result?.usage.inputTokens, text.length);
  assert.deepEqual(live.events, [
    { kind: 'end', status: 'done', finishReason: 'read', outputCount: Math.ceil(text.length / 64) },
  ]);
  const again = worker({ beforeStep: () => assert.fail('a finished job ran again') });
  assert.equal((await again.handle(taken())).kind, 'done');
});

test('drained behind any chunk, a job is handed back and ends the same', async () => {
  for (const task of [scoreTask, generate]) {
    const straight = await setup(task);
    await straight.worker().handle(taken());
    const expected = await straight.ledger.readResult(jobId);
    for (const at of [0, 64, 640, text.length - 1, text.length + 10]) {
      const { ledger, worker } = await setup(task);
      const first: Worker = worker({
        beforeStep: (position) => {
          if (position >= at) first.drain('SIGTERM');
        },
      });
      const end = await first.handle(taken());
      if (end.kind === 'hand-back') {
        const head = await ledger.readHead(jobId);
        assert.equal(head?.status, 'queued');
        assert.equal(head?.stuckAttempts, 0);
        assert.ok(head!.seq >= 1, 'handed back without a commit');
        assert.equal((await worker().handle(taken())).kind, 'done');
      }
      const result = await ledger.readResult(jobId);
      assert.deepEqual(result?.digests, expected?.digests, `drained at ${at}`);
      assert.equal(result?.text, expected?.text);
    }
  }
});

test('a draining worker hands back what it is given, untouched', async () => {
  const { ledger, worker } = await setup();
  const draining = worker();
  draining.drain('SIGTERM');
  assert.deepEqual(await draining.handle(taken()), { kind: 'hand-back' });
  assert.equal((await ledger.readHead(jobId))?.epoch, 0);
});

test('the world at fault: tried again later, and never quarantined for it', async () => {
  const { ledger, worker } = await setup();
  const openDocument = async () => {
    throw new RetryableFailure('source_unreadable', 'the source answers 503');
  };
  for (let i = 0; i < limits.stuckAttempts + 2; i++) {
    assert.equal((await worker({}, { openDocument }).handle(taken())).kind, 'retry');
  }
  assert.equal((await ledger.readHead(jobId))?.stuckAttempts, 0);
  assert.equal((await worker().handle(taken())).kind, 'done');
});

test('a store that goes away behind each taking, and stays away for some tries to give the job back: no poison is made of the job', async () => {
  const { store, ledger, worker } = await setup();
  const write = store.putIfMatch.bind(store);
  for (let i = 0; i <= limits.stuckAttempts; i++) {
    let refusals = 4;
    const away = async () => {
      refusals -= 1;
      if (refusals === 0) store.putIfMatch = write;
      throw new RetryableFailure('store_unavailable', 'the store gave no answer');
    };
    const hooks = {
      beforeStep: () => {
        store.putIfMatch = away;
        throw new RetryableFailure('store_unavailable', 'the document gave no answer');
      },
    };
    assert.equal((await worker(hooks).handle(taken())).kind, 'retry');
    assert.equal(refusals, 0);
    assert.equal((await ledger.readHead(jobId))?.stuckAttempts, 0);
  }
  assert.equal((await worker().handle(taken())).kind, 'done');
  assert.equal((await ledger.readHead(jobId))?.status, 'done');
});

test('a drain does not wait for a store that is away', async () => {
  const { store, worker } = await setup();
  const away = Promise.withResolvers<void>();
  const cut = worker({
    beforeStep: () => {
      store.putIfMatch = async () => {
        away.resolve();
        throw new RetryableFailure('store_unavailable', 'the store gave no answer');
      };
    },
  });
  const end = cut.handle(taken());
  await away.promise;
  cut.drain('SIGTERM');
  assert.deepEqual(await end, { kind: 'hand-back' });
});

test('a job that cannot be taken leaves the hand of its worker counted, too', async () => {
  const { ledger, worker } = await setup();
  ledger.acquire = async () => {
    throw new RetryableFailure('store_unavailable', 'the store gave no answer');
  };
  const taking = worker({}, { model: 'unit-of-this-test' });
  assert.equal((await taking.handle(taken())).kind, 'retry');
  const settled = (await recorded.of(metric.jobsSettled)).filter(
    ([of]) => of['longhaul.model'] === 'unit-of-this-test',
  );
  assert.deepEqual(settled, [
    [
      {
        'longhaul.model': 'unit-of-this-test',
        'longhaul.outcome': 'retried',
        'longhaul.error.code': 'store_unavailable',
      },
      1,
    ],
  ]);
});

test('the span of what was written says how much it was, also where it fails', async () => {
  const { worker } = await setup(generate);
  spans.reset();
  // The first token is sampled by the last chunk of the input.
  const decodedFrom = text.length + ' And so'.length;
  const hooks: FakeEngineHooks = {
    beforeStep: (position) => {
      if (position === decodedFrom + 4) throw new RetryableFailure('store_unavailable', 'a fault of the test');
    },
  };
  assert.equal((await worker(hooks).handle(taken())).kind, 'retry');
  const [span] = spans.getFinishedSpans().filter(({ name }) => name === spanName.generate);
  assert.equal(span?.attributes['longhaul.tokens'], 4);
  assert.equal(span?.attributes['longhaul.error.code'], 'store_unavailable');
});

test('the job at fault: quarantined with the reason, committed work kept', async () => {
  const { ledger, live, worker } = await setup();
  const spoilt = worker({
    beforeStep: (position) => {
      if (position >= 640) throw new RejectedJob('invalid_utf8', 'byte 700 is not UTF-8');
    },
  });
  const end = await spoilt.handle(taken());
  assert.equal(end.kind, 'quarantine');
  const head = await ledger.readHead(jobId);
  assert.equal(head?.failure?.code, 'invalid_utf8');
  assert.ok(head!.position.tokenOffset >= 256 && head!.checkpoint !== null);
  const { outputCount } = head!.position;
  assert.deepEqual(live.events.at(-1), { kind: 'end', status: 'quarantined', finishReason: 'failed', outputCount });
});

test('an error that nobody knows is tried again, and quarantined as stuck when that leads nowhere', async () => {
  const { ledger, worker } = await setup();
  const broken = () =>
    worker({
      beforeStep: () => {
        throw new Error('nobody expected this');
      },
    });
  for (let i = 0; i < limits.stuckAttempts; i++) assert.equal((await broken().handle(taken())).kind, 'retry');
  assert.equal((await broken().handle(taken())).kind, 'done');
  assert.equal((await ledger.readHead(jobId))?.failure?.code, 'stuck');
});

test('a process that can no longer be trusted hands the job back, says so once, and takes no more', async () => {
  const { fatal, worker } = await setup();
  const sick = worker({
    beforeStep: () => {
      throw new EngineError('engine_failure', 'the device is gone');
    },
  });
  assert.deepEqual(await sick.handle(taken()), { kind: 'hand-back' });
  assert.equal(fatal.length, 1);
  assert.deepEqual(await sick.handle(taken()), { kind: 'hand-back' });
  assert.equal(fatal.length, 1);
});

test('a lost lease: nothing more is written or emitted, and whoever watches over lost jobs hears of it', async () => {
  const { ledger, live, lost: told, worker } = await setup();
  const lost = new AbortController();
  const end = await worker({
    beforeStep: (position) => {
      if (position >= 640) lost.abort(new Abandoned('lease_lost', 'no proof of the lock'));
    },
  }).handle(taken(lost.signal));
  assert.deepEqual(end, { kind: 'abandon' });
  assert.deepEqual(told, [`${jobId} 1`]);
  assert.equal(await ledger.readResult(jobId), null);
  assert.equal(live.events.length, 0);
});

test('a lock that is lost again and again before a first commit makes no poison of the job', async () => {
  const { ledger, worker } = await setup();
  for (let i = 0; i <= limits.stuckAttempts; i++) {
    const lost = new AbortController();
    const hooks = { beforeStep: () => lost.abort(new Abandoned('lease_lost', 'no proof of the lock')) };
    assert.deepEqual(await worker(hooks).handle(taken(lost.signal)), { kind: 'abandon' });
  }
  assert.equal((await worker().handle(taken())).kind, 'done');
  assert.equal((await ledger.readHead(jobId))?.status, 'done');
});

test('a lock that is lost to another owner: the head stays as that one left it', async () => {
  const { ledger, worker } = await setup();
  const lost = new AbortController();
  const end = await worker({
    beforeStep: async () => {
      if (lost.signal.aborted) return;
      await ledger.acquire(jobId, 'another');
      lost.abort(new Abandoned('lease_lost', 'no proof of the lock'));
    },
  }).handle(taken(lost.signal));
  assert.deepEqual(end, { kind: 'abandon' });
  const head = await ledger.readHead(jobId);
  assert.deepEqual([head?.owner, head?.status, head?.epoch], ['another', 'running', 2]);
});

/** Handed back behind `token`, with several commits; the keys of its checkpoints, oldest first. */
async function handedBack(task: Task, token: number) {
  const made = await setup(task);
  const first: Worker = made.worker({
    beforeStep: (position) => {
      if (position >= token) first.drain('SIGTERM');
    },
  });
  assert.deepEqual(await first.handle(taken()), { kind: 'hand-back' });
  const checkpoints = [...made.store.objects.keys()].filter((key) => key.includes('/ckpt/')).sort();
  assert.ok(checkpoints.length >= 2);
  return { ...made, checkpoints };
}

test('whichever of its checkpoints are lost or damaged, a job ends the same; the head and the log say what was done', async () => {
  for (const task of [scoreTask, generate]) {
    const straight = await setup(task);
    await straight.worker().handle(taken());
    const expected = await straight.ledger.readResult(jobId);
    for (const lost of [1, 2, 99]) {
      for (const at of [1000, text.length + 20]) {
        if (at > text.length && task.kind === 'score') continue;
        const { store, ledger, checkpoints, worker } = await handedBack(task, at);
        const damaged = checkpoints.slice(-lost);
        for (const [i, key] of damaged.entries()) {
          const { body } = store.objects.get(key)!;
          const flipped = body.slice();
          flipped[flipped.length >> 1]! ^= 1;
          if (i % 2 === 0) await store.delete(key);
          else store.write(key, flipped);
        }
        const logged: (readonly [string, unknown])[] = [];
        const log: WorkerParts['log'] = (level, message, fields) =>
          logged.push([`${level}: ${message}`, fields?.['key']]);
        assert.equal((await worker({}, { log }).handle(taken())).kind, 'done');
        const result = await ledger.readResult(jobId);
        assert.deepEqual(result?.digests, expected?.digests, `${lost} lost behind ${at}`);
        assert.deepEqual(
          [result?.text, result?.score, result?.usage],
          [expected?.text, expected?.score, expected?.usage],
        );
        const falls = Math.min(2, lost);
        assert.equal(result?.stats.fallbacks, falls);
        const told = logged.filter(([what]) => what === 'warn: a checkpoint cannot be used: the job goes back');
        assert.deepEqual(
          told.map(([, key]) => key),
          checkpoints.slice(-falls).reverse(),
        );
        const head = await ledger.readHead(jobId);
        assert.equal(head?.fallback?.key, checkpoints.at(-falls));
        assert.equal(head?.fallback?.toTokenOffset === 0, falls === 2);
      }
    }
  }
});

test('a checkpoint that does not load sends the job back; an engine without room for it does not', async () => {
  const { ledger, worker } = await handedBack(scoreTask, 1000);
  const refusing = (code: string, times: number) => {
    const engine = fakeEngine({});
    return {
      ...engine,
      restoreSession: (snapshot: Parameters<typeof engine.restoreSession>[0]) => {
        times -= 1;
        if (times >= 0) throw new EngineError(code as never, 'it does not fit');
        return engine.restoreSession(snapshot);
      },
    };
  };
  const full = await worker({}, { engine: refusing('out_of_memory', 1) }).handle(taken());
  assert.equal(full.kind, 'retry');
  assert.equal((await ledger.readHead(jobId))?.stats.fallbacks, 0);
  assert.equal((await worker({}, { engine: refusing('state_mismatch', 1) }).handle(taken())).kind, 'done');
  assert.equal((await ledger.readResult(jobId))?.stats.fallbacks, 1);
});

test('at its deadline a job ends behind the chunk in hand, as expired, with all of its work committed', async () => {
  for (const task of [scoreTask, { ...generate, maxNewTokens: 100_000 } satisfies Task]) {
    const expiresAt = '2030-01-01T00:00:00.000Z';
    const { ledger, live, worker } = await setup(task, expiresAt);
    let date = new Date('2029-12-31T23:59:59Z');
    const at = task.kind === 'score' ? 640 : text.length + 50;
    let behind = 0;
    const late: FakeEngineHooks = {
      beforeStep: async (position) => {
        behind = position;
        if (position < at) return;
        date = new Date(expiresAt);
        // Past the next look at the clock.
        await new Promise((resolve) => setTimeout(resolve, 30));
      },
    };
    assert.equal((await worker(late, { clock: { ...clock, date: () => date } }).handle(taken())).kind, 'done');
    const head = await ledger.readHead(jobId);
    assert.deepEqual([head?.status, head?.failure?.code], ['expired', 'expired']);
    assert.ok(head!.position.tokenOffset > at && head!.position.tokenOffset >= behind, 'the work in hand is committed');
    const { outputCount } = head!.position;
    assert.deepEqual(live.events.at(-1), { kind: 'end', status: 'expired', finishReason: 'expired', outputCount });
  }
});

test('a cancel signal that no mark in the ledger confirms ends nothing', async () => {
  const { ledger, live, worker } = await setup();
  live.cancelSignalled = async () => true;
  const slow: FakeEngineHooks = { beforeStep: () => new Promise((resolve) => setTimeout(resolve, 2)) };
  assert.equal((await worker(slow).handle(taken())).kind, 'done');
  assert.equal((await ledger.readHead(jobId))?.status, 'done');
});

test('a job whose engine hangs: handed back uncommitted and counted, the process is no longer trusted', async () => {
  const { fatal, ledger, worker } = await setup();
  const { promise: letGo, resolve } = Promise.withResolvers<void>();
  const hangs = (position: number) => (position >= 0 ? letGo : undefined);
  const end = await worker({ beforeStep: hangs }, { hungMs: 100 }).handle(taken());
  assert.deepEqual(end, { kind: 'hand-back' });
  assert.match(String(fatal[0]), /job unit-worker-job: nothing came of the engine for 0.1 s, at token 0/);
  const head = await ledger.readHead(jobId);
  assert.equal(head?.stuckAttempts, 1, 'a job that hangs every engine must count as stuck');
  resolve();
  assert.equal((await worker().handle(taken())).kind, 'done');
});

test('a job whose source gives nothing: what was read is committed and handed back, the process is no longer trusted', async () => {
  const { fatal, ledger, worker } = await setup();
  const bytes = new TextEncoder().encode(text);
  const openDocument = async (): Promise<Document> => ({
    ...document(),
    async *read(from, signal) {
      yield bytes.subarray(from, 320);
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
  });
  const streaming: WorkerParts['tokenizer'] = { ...byteTokenizer, openStream: (source) => pieceStream(source) };
  const end = await worker({}, { hungMs: 100, openDocument, tokenizer: streaming }).handle(taken());
  assert.deepEqual(end, { kind: 'hand-back' });
  assert.match(String(fatal[0]), /nothing came of the source for 0.1 s, at token 256/);
  const head = await ledger.readHead(jobId);
  assert.deepEqual([head?.position.tokenOffset, head?.status, head?.stuckAttempts], [256, 'queued', 0]);
  assert.equal((await worker().handle(taken())).kind, 'done');
});

test('a job that is slow but moves is not hung', async () => {
  const { fatal, worker } = await setup();
  let engineAt = 0;
  const slow = (position: number) => {
    engineAt = position;
    return new Promise<void>((resolve) => setTimeout(resolve, 30));
  };
  const end = await worker({ beforeStep: slow }, { hungMs: 100 }).handle(taken());
  assert.equal(end.kind, 'done');
  assert.ok(engineAt > 640);
  assert.equal(fatal.length, 0);
});

/** Tokens as they come, where `byteTokenizer` reads its whole document first. */
function pieceStream(source: Document): ReturnType<WorkerParts['tokenizer']['openStream']> {
  let held = new Uint8Array(0);
  let at = 0;
  let pieces: AsyncIterator<Uint8Array> | null = null;
  const fill = async (count: number, signal: AbortSignal) => {
    pieces ??= source.read(0, signal)[Symbol.asyncIterator]();
    while (held.length < count) {
      const next = await pieces.next();
      if (next.done) return;
      held = Buffer.concat([held, next.value]);
    }
  };
  return {
    async read(count, signal) {
      await fill(count, signal);
      const part = Int32Array.from(held.subarray(0, count));
      held = held.subarray(part.length);
      at += part.length;
      return part;
    },
    async peek(signal) {
      await fill(1, signal);
      return held[0] ?? null;
    },
    cursor: () => ({ byteOffset: at, text: String(at), reach: null }),
    close: async () => {},
  };
}
