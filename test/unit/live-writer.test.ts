import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type LiveEvent, systemClock } from '@longhaul/core/contracts';
import type { JobContext } from '../../worker/tasks/context.ts';
import { LiveWriter } from '../../worker/tasks/live-writer.ts';

const token = (position: number): LiveEvent => ({ kind: 'token', position, token: 1, logprob: 0, text: '' });
const positionsOf = (events: readonly LiveEvent[]) =>
  events.map((event) => (event.kind === 'end' ? -1 : event.position));

/** A Redis that answers when it is told to. */
function heldRedis() {
  const batches: number[][] = [];
  const answers: { readonly take: () => void; readonly fail: () => void }[] = [];
  const append = (_job: string, _epoch: number, events: readonly LiveEvent[]) => {
    batches.push(positionsOf(events));
    return new Promise<number>((resolve, reject) => {
      answers.push({ take: () => resolve(events.length), fail: () => reject(new Error('connection lost')) });
    });
  };
  return { batches, answers, append };
}

function writerOn(append: ReturnType<typeof heldRedis>['append'], lost = new AbortController().signal) {
  const said: string[] = [];
  const context = {
    live: { append },
    spec: { jobId: 'job-live-writer' },
    lease: { epoch: 3 },
    clock: { ...systemClock, sleep: (_ms: number, signal: AbortSignal) => systemClock.sleep(5, signal) },
    log: (_at: string, text: string) => said.push(text),
    lost,
  } as unknown as JobContext;
  return { writer: new LiveWriter(context), said };
}

test('a Redis that does not answer holds nothing up and costs bounded memory: the oldest are dropped, the newest kept', async () => {
  const redis = heldRedis();
  const { writer } = writerOn(redis.append);
  writer.emit(token(1));
  await turn();
  for (let position = 2; position <= 50_000; position++) writer.emit(token(position));
  assert.equal(redis.batches.length, 1, 'a second call while the first is unanswered');
  let next = 0;
  while (next < redis.answers.length) {
    redis.answers[next++]!.take();
    await turn();
  }
  const sent = redis.batches.flat();
  assert.ok(sent.length <= 1 + 4096, `${sent.length} events had waited`);
  assert.ok(redis.batches.every((batch) => batch.length <= 512));
  assert.deepEqual([sent[0], sent.at(-1)], [1, 50_000]);
  const kept = sent.slice(1);
  assert.ok(kept.length >= 3000, `only ${kept.length} of the newest were kept`);
  assert.deepEqual(
    kept,
    Array.from({ length: kept.length }, (_, i) => 50_001 - kept.length + i),
  );
});

test('a batch that failed is sent again before what came after it, and the log says so', async () => {
  const redis = heldRedis();
  const { writer, said } = writerOn(redis.append);
  writer.emit(token(1));
  writer.emit(token(2));
  await turn();
  writer.emit(token(3));
  redis.answers[0]!.fail();
  while (redis.batches.length < 2) await turn();
  redis.answers[1]!.take();
  await writer.settle();
  assert.deepEqual(redis.batches, [
    [1, 2],
    [1, 2, 3],
  ]);
  assert.deepEqual(said, ['tokens were not streamed']);
});

test('the end of an attempt waits for what is left, but not for a Redis that is away, and sends nothing after it', async () => {
  const answering = heldRedis();
  const inTime = writerOn(answering.append).writer;
  inTime.emit(token(1));
  await turn();
  inTime.emit(token(2));
  const settled = inTime.settle();
  answering.answers[0]!.take();
  while (answering.answers.length < 2) await turn();
  answering.answers[1]!.take();
  await settled;
  assert.deepEqual(answering.batches, [[1], [2]]);

  const silent = heldRedis();
  const { writer } = writerOn(silent.append);
  writer.emit(token(1));
  await turn();
  writer.emit(token(2));
  await writer.settle();
  writer.emit(token(3));
  silent.answers[0]!.take();
  await turn();
  assert.deepEqual(silent.batches, [[1]]);
});

test('an owner that lost its lease sends nothing more', async () => {
  const redis = heldRedis();
  const lost = new AbortController();
  const { writer } = writerOn(redis.append, lost.signal);
  writer.emit(token(1));
  await turn();
  writer.emit(token(2));
  lost.abort();
  redis.answers[0]!.take();
  await turn();
  writer.emit(token(3));
  await turn();
  assert.deepEqual(redis.batches, [[1]]);
});
