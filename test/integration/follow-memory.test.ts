import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { startTestRedis, type TestRedis } from '../support/redis.ts';
import { recordAt, StreamingJob } from '../support/streaming-job.ts';

const commits = 16;
const recordsPerCommit = 15_000;
const total = commits * recordsPerCommit;
/** A segment's lines and records; all of the output would take several times that. */
const allowedMb = 32;

let redis: TestRedis;

before(async () => {
  redis = await startTestRedis();
});
after(async () => {
  await redis.close();
});

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Megabytes that are still in use, buffers included. */
function liveMb(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return (heapUsed + arrayBuffers) / 1e6;
}

test('following a long output at a slow reader takes the memory of one segment', async (t) => {
  const job = await StreamingJob.start('job-follow-memory', redis.url);
  t.after(() => job.close());
  for (let i = 0; i < commits; i++) {
    job.sampled += recordsPerCommit;
    await job.commit();
  }
  await job.emit(100);
  const before = liveMb();
  let given = 0;
  let most = 0;
  for await (const event of job.follow({ signal: AbortSignal.timeout(300_000) })) {
    assert.notEqual(event.kind, 'rewind');
    if (event.kind !== 'record') continue;
    given++;
    if (given % 20_000 === 1) {
      await delay(5);
      assert.deepEqual(event.record, recordAt(given));
      most = Math.max(most, liveMb() - before);
    }
    if (given === total + 100) break;
  }
  t.diagnostic(`${most.toFixed(0)} MB beside ${total} records`);
  assert.equal(given, total + 100);
  assert.ok(most < allowedMb, `${most.toFixed(0)} MB are held; ${allowedMb} MB are allowed`);
});
