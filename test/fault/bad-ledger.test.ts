import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Head, JobId } from '@longhaul/core/contracts';
import { Cluster, models, waitFor } from '../support/cluster.ts';
import { assertOutput, assertRefused, assertRefusedLater, committing, runUntil } from './committed-work.ts';
import { assertSame, bookBytes, generateTask, scoreTask, truth } from './shared.ts';

async function start(t: TestContext): Promise<Cluster> {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: committing });
  t.after(() => cluster.close());
  return cluster;
}

/** Changes a head behind the ledger's back. */
async function editHead(cluster: Cluster, jobId: JobId, edit: (head: Head) => unknown): Promise<void> {
  const key = `jobs/${jobId}/head.json`;
  const found = await cluster.store.get(key, { maxBytes: 1 << 16 });
  const head = edit(JSON.parse(Buffer.from(found!.body).toString()) as Head);
  await cluster.store.putIfMatch(key, Buffer.from(JSON.stringify(head)), found!.etag);
}

test('a spec or a head that is not one ends its message and no more; the next job runs', async (t) => {
  const cluster = await start(t);
  const text = Buffer.from('Call me Ishmael.');
  const specless = await cluster.submitText('spoilt-spec', text, scoreTask);
  await writeFile(join(cluster.dir, 'store/jobs', specless, 'spec.json'), '{"v":1,"jobId":');
  const headless = await cluster.submitText('spoilt-head', text, scoreTask);
  await editHead(cluster, headless, (head) => ({ ...head, seq: -1 }));
  const sound = await cluster.submitText('sound-job', text, scoreTask);
  const worker = await cluster.startWorker('only');
  assert.equal((await cluster.result(sound)).status, 'succeeded');
  await waitFor(
    async () => ((await cluster.queue.counts()).failed === 2 ? true : null),
    60_000,
    () => 'both messages to be put aside',
  );
  // What the worker says comes by a way of its own, and later than what the queue knows.
  for (const [key, what] of [
    ['jobs/spoilt-spec/spec.json', / is not JSON/],
    ['jobs/spoilt-head/head.json', / seq: /],
  ] as const) {
    const line = await worker.says(`object_corrupt: ${key} `);
    assert.match(line, /attempt ended: quarantine/);
    assert.match(line, what);
  }
  await assert.rejects(cluster.ledger.readHead(headless), { code: 'object_corrupt' });
});

test('a head that says what cannot be is refused: another engine, no cursor, a cursor behind the end, no such token', async (t) => {
  const cluster = await start(t);
  const text = await bookBytes(50_000);
  const scores = ['other-engine', 'broken-cursor', 'cursor-behind-end'];
  for (const jobId of scores) await cluster.submitText(jobId, text, scoreTask);
  await cluster.submitText('no-such-token', text.subarray(0, 1000), generateTask(100_000, 0));
  const first = await cluster.startWorker('first', { LONGHAUL_SLOTS: '4', LONGHAUL_COMMIT_SECONDS: '0.3' });
  for (const jobId of [...scores, 'no-such-token']) {
    await cluster.head(jobId, (head) => head.position.outputCount > 0 && head.position.tokenOffset > 1000);
  }
  await first.stop('SIGTERM');
  const at = (head: Head, change: Partial<Head['position']>) => ({
    ...head,
    position: { ...head.position, ...change },
  });
  const cursor = (offset: number) => JSON.stringify({ v: 1, at: offset, state: 0, drop: 0, skip: 0 });
  await editHead(cluster, 'other-engine', (head) => ({ ...head, pins: { ...head.pins!, engine: 'cuda/1' } }));
  await editHead(cluster, 'broken-cursor', (head) => at(head, { textCursor: '{"v":1,"at":-1}' }));
  await editHead(cluster, 'cursor-behind-end', (head) => at(head, { textCursor: cursor(50_001) }));
  await editHead(cluster, 'no-such-token', (head) => at(head, { nextToken: 288 }));
  const worker = await cluster.startWorker('second', { LONGHAUL_SLOTS: '4' });
  for (const [jobId, code, says] of [
    ['other-engine', 'state_mismatch', /begun on engine cuda\/1, this worker runs cpu\/\d+\/as-stored\/matched/],
    ['broken-cursor', 'checkpoint_corrupt', /not a text cursor: .*-1/],
    ['cursor-behind-end', 'checkpoint_corrupt', /offset 50001 lies behind the end .* \(50000 bytes\)/],
    ['no-such-token', 'token_out_of_range', /288/],
  ] as const) {
    const { failure } = await assertRefusedLater(cluster, jobId, code, 1001);
    assert.match(failure!.message, says);
  }
  assert.ok(worker.alive);
});

test('committed output damaged in the store is refused where it is needed, and never given out as whole', async (t) => {
  const cluster = await start(t);
  const jobId = await cluster.submitText('spoilt-output', await bookBytes(2000), generateTask(100_000, 0));
  const first = await cluster.startWorker('first', { LONGHAUL_COMMIT_SECONDS: '0.3' });
  await cluster.head(jobId, (head) => head.segments.length > 0 && head.position.outputCount > 100);
  await first.stop('SIGTERM');
  const { segments } = await assertOutput(cluster, jobId);
  const key = `jobs/${jobId}/out/${String(segments[0]!.fromSeq).padStart(10, '0')}-${segments[0]!.epoch}.jsonl.zst`;
  const path = join(cluster.dir, 'store', key);
  const bytes = await readFile(path);
  await writeFile(path, bytes.subarray(0, bytes.length - 5));
  await cluster.startWorker('second');
  const { failure } = await assertRefused(cluster, jobId, 'object_corrupt');
  assert.ok(failure!.message.includes(key), failure!.message);
  const read = async () => {
    for await (const _ of cluster.ledger.readOutput(jobId, { skip: 0 }));
  };
  await assert.rejects(read, { code: 'object_corrupt' });
});

test('a worker with another chunk size goes on with the chunks that the job was begun with', async (t) => {
  const cluster = await start(t);
  const text = await bookBytes(50_000);
  const jobId = await cluster.submitText('other-chunks', text, scoreTask);
  await runUntil(cluster, jobId, 8192, 'SIGTERM');
  await cluster.startWorker('small-chunks', { LONGHAUL_CHUNK_TOKENS: '256' });
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, scoreTask));
  assert.equal((await cluster.head(jobId, () => true)).pins!.chunkTokens, 2048);
});
