import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { systemClock, type Task } from '@longhaul/core/contracts';
import { createLedger, openStore } from '@longhaul/core/ledger';
import { createStates } from '@longhaul/core/states';
import { openLiveStream } from '@longhaul/core/stream';
import { followDefaults, followJob } from '@longhaul/producer';
import { Worker } from '../../worker/worker.ts';
import { byteTokenizer, fakeEngine } from '../support/fake-engine.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { specOf } from '../support/producer-fakes.ts';
import { startTestRedis, type TestRedis } from '../support/redis.ts';
import { recordsOf, Screen, StreamingJob } from '../support/streaming-job.ts';
import { greedySampling } from '../support/tasks.ts';

const outputTokens = 20_000;
const task: Task = {
  kind: 'generate',
  prompt: null,
  maxNewTokens: outputTokens,
  sampling: greedySampling,
  stop: [],
  topLogprobs: 0,
};
const document = new TextEncoder().encode('It is a way I have of driving off the spleen. ');

let redis: TestRedis;
let dir: string;

before(async () => {
  redis = await startTestRedis();
  dir = await mkdtemp(join(tmpdir(), 'longhaul-backpressure-'));
});
after(async () => {
  await redis.close();
  await rm(dir, { recursive: true, force: true });
});

test('an engine writes all of its tokens while Redis answers nothing, and a follower has them all in the end', async (t) => {
  const jobId = 'job-stalled-redis';
  const ledger = createLedger(await openStore(pathToFileURL(dir).href));
  const live = openLiveStream({ url: redis.url, onNotice: () => {} });
  t.after(() => live.close());
  await ledger.submit({ ...specOf('generate', jobId), task });
  const steps = { before: 0, during: 0 };
  let paused = false;
  const worker = new Worker({
    ledger,
    live,
    engine: fakeEngine({
      beforeStep: (position) => {
        // Some thousand tokens in, as a reader follows.
        if (position === document.length + 2000) {
          redis.pause();
          paused = true;
        }
        steps[paused ? 'during' : 'before']++;
      },
    }),
    tokenizer: byteTokenizer,
    openDocument: async () => ({
      pin: { tag: 'sha256:stalled', bytes: document.length },
      totalBytes: document.length,
      async *read(from) {
        yield document.subarray(from);
      },
    }),
    states: createStates(new MemoryStore()),
    forks: 1,
    clock: systemClock,
    log: () => {},
    name: 'stalled',
    model: 'stalled',
    policy: { chunkTokens: 64, commitSeconds: 3600, commitTokens: 5000 },
    hungMs: 600_000,
    onLost: () => {},
    onFatal: assert.fail,
  });
  const screen = new Screen();
  const following = (async () => {
    const options = { ...followDefaults, clock: systemClock, pollMs: 100, signal: AbortSignal.timeout(120_000) };
    for await (const event of followJob(ledger, live, jobId, options)) screen.show(event);
  })();
  const handled = worker.handle({ jobId, signal: new AbortController().signal });
  // The ledger says the end while Redis still stands: nothing before it waited for Redis.
  while ((await ledger.readResult(jobId)) === null) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(paused);
  redis.resume();
  assert.equal((await handled).kind, 'done');
  assert.equal(steps.before + steps.during, outputTokens, 'a step for each token, and no other');
  assert.ok(steps.during >= outputTokens - 2001, `${steps.during} steps beside a Redis that stood still`);
  await following;
  assert.equal(screen.records.length, outputTokens);
  assert.deepEqual(screen.rewinds, []);
});

test('a reader that stands still holds up nobody, and finds in the ledger what the stream has dropped meanwhile', async (t) => {
  const job = await StreamingJob.start('job-stalled-reader', redis.url);
  t.after(() => job.close());
  await job.emit(10);
  const events = job.follow()[Symbol.asyncIterator]();
  const screen = new Screen();
  while (screen.position < 5) screen.show((await events.next()).value!);
  // The reader stands here, with a connection and a read of its own under way.
  for (let i = 0; i < 3; i++) {
    await job.emit(4000);
    await job.commit();
  }
  await job.end('complete');
  for (let next = await events.next(); !next.done; next = await events.next()) screen.show(next.value);
  assert.deepEqual(screen.records, recordsOf(1, 12_010));
  assert.deepEqual(screen.rewinds, []);
});
