import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { LiveEvent, Progress } from '@longhaul/core/contracts';
import { connectRedis } from '@longhaul/core/redis';
import { type LiveStream, openLiveStream } from '@longhaul/core/stream';
import { type Random, seededRandom } from '../simulation/random.ts';
import { SimulatedStream } from '../simulation/stream.ts';
import { startTestRedis, type TestRedis } from '../support/redis.ts';

const calls = 150;

let redis: TestRedis;
let live: LiveStream;
let client: ReturnType<typeof connectRedis>;

before(async () => {
  redis = await startTestRedis();
  live = openLiveStream({ url: redis.url, onNotice: () => {} });
  client = connectRedis({ url: redis.url, name: 'longhaul-queue', whileAway: 'fail', onNotice: () => {} });
});
after(async () => {
  await live.close();
  client.disconnect();
  await redis.close();
});

function someEvent(random: Random): LiveEvent {
  const position = random.below(12);
  const kind = random.below(10);
  if (kind === 0) return { kind: 'end', status: 'done', finishReason: 'length', outputCount: position };
  if (kind < 3) return { kind: 'begin', position };
  return { kind: 'token', position: position + 1, token: 1, logprob: -1, text: 'x' };
}

function progressOf(epoch: number, tokens: number): Progress {
  return {
    epoch,
    worker: 'w',
    phase: 'read',
    tokens,
    bytes: 0,
    totalBytes: null,
    outputTokens: 0,
    tokensPerSecond: 0,
    cachedTokens: 0,
    cachedBytes: 0,
    committedTokens: 0,
    commits: 0,
    updatedAt: '2026-01-01T00:00:00.000Z',
  };
}

test('the simulated stream answers every call as Redis does, and holds the same entries', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const jobId = 'job-compared';
  const model = new SimulatedStream({ fenced: true, onTaken: () => {}, onLost: () => {} });
  let epoch = 1;
  for (let call = 0; call < calls; call++) {
    if (random.chance(0.1)) epoch += 1;
    const of = Math.max(1, epoch - random.below(3));
    const kind = random.below(20);
    if (kind === 0) {
      await client.flushall();
      model.lose(jobId);
    } else if (kind < 5) {
      const progress = progressOf(of, call);
      assert.equal(await live.postProgress(jobId, progress), model.postProgress(progress), `call ${call}`);
    } else {
      const events = Array.from({ length: 1 + random.below(4) }, () => someEvent(random));
      assert.equal(await live.append(jobId, of, events), model.append(jobId, of, events), `call ${call}`);
    }
    assert.deepEqual(await live.readProgress(jobId), model.progress, `call ${call}`);
    const found = await client.xrange(`longhaul:{${jobId}}:live`, '-', '+');
    const held = model.entries.map(({ epoch: owner, sequence, event }) => [
      `${owner}-${sequence}`,
      JSON.stringify(event),
    ]);
    assert.deepEqual(
      found.map(([id, fields]) => [id, fields[1]]),
      held,
      `call ${call}`,
    );
  }
});
