import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFile, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { CheckpointRef, Head, JobId } from '@longhaul/core/contracts';
import { decodeCheckpoint, encodeCheckpoint } from '@longhaul/core/ledger';
import { Cluster, models } from '../support/cluster.ts';
import { assertOutput, assertRefused, committing, letters } from './committed-work.ts';
import { assertSame, bookBytes, scoreTask, truth } from './shared.ts';

/** Jobs side by side, each handed back behind two commits or more. */
async function handedBack(t: TestContext, jobIds: readonly JobId[], model: string, text: Uint8Array) {
  const cluster = await Cluster.start({ model, env: { ...committing, LONGHAUL_SLOTS: '6' } });
  t.after(() => cluster.close());
  for (const jobId of jobIds) await cluster.submitText(jobId, text, scoreTask);
  const worker = await cluster.startWorker('before');
  await Promise.all(jobIds.map((jobId) => cluster.head(jobId, (head) => head.seq >= 2)));
  await worker.stop('SIGTERM');
  const heads = await Promise.all(jobIds.map((jobId) => cluster.head(jobId, (head) => head.status === 'queued')));
  return { cluster, refs: heads.map((head) => head.checkpoint!) };
}

const fileOf = (cluster: Cluster, { key }: CheckpointRef) => join(cluster.dir, 'store', key);

/** The checkpoint before the head's, which the ledger keeps: sound, of the same job, of an earlier position. */
async function earlierThan(cluster: Cluster, ref: CheckpointRef): Promise<CheckpointRef> {
  const { parent } = await decodeCheckpoint(ref.key, await readFile(fileOf(cluster, ref)), null);
  assert.ok(parent !== null);
  const bytes = await readFile(join(cluster.dir, 'store', parent));
  const { state, stateSha256 } = await decodeCheckpoint(parent, bytes, null);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  assert.ok(state.tokenOffset < ref.tokenOffset);
  return { key: parent, sha256, bytes: bytes.length, tokenOffset: state.tokenOffset, stateSha256 };
}

/** Writes `checkpoint` into a head behind the ledger's back. */
async function nameInHead(cluster: Cluster, jobId: JobId, checkpoint: CheckpointRef): Promise<void> {
  const key = `jobs/${jobId}/head.json`;
  const found = await cluster.store.get(key, { maxBytes: 1 << 16 });
  const head = JSON.parse(Buffer.from(found!.body).toString()) as Head;
  await cluster.store.putIfMatch(key, Buffer.from(JSON.stringify({ ...head, checkpoint })), found!.etag);
}

/** A checkpoint with one number that is none, and everything else right: digests, size, place. */
async function withNaN(cluster: Cluster, jobId: JobId, ref: CheckpointRef): Promise<CheckpointRef> {
  const { state, ...context } = await decodeCheckpoint(ref.key, await readFile(fileOf(cluster, ref)), ref);
  state.ssm[state.ssm.length >> 1] = Number.NaN;
  const { bytes, sha256, stateSha256 } = await encodeCheckpoint(state, context);
  const named = { ...ref, key: ref.key.replace(ref.sha256, sha256), sha256, bytes: bytes.length, stateSha256 };
  await writeFile(fileOf(cluster, named), bytes);
  await nameInHead(cluster, jobId, named);
  return named;
}

test('whatever becomes of a checkpoint in the store, the job goes back and ends with the same bytes', async (t) => {
  const ids = ['one-bit-flipped', 'cut-in-half', 'lost-object', 'exchanged-object', 'not-a-number', 'both-damaged'];
  const text = letters(100_000);
  const { cluster, refs } = await handedBack(t, ids, models.induction, text);
  const [flipped, cut, lost, exchanged, sound, first] = refs as CheckpointRef[] as [CheckpointRef, ...CheckpointRef[]];
  const flip = async (ref: CheckpointRef) => {
    const file = await readFile(fileOf(cluster, ref));
    file[file.length >> 1]! ^= 1;
    await writeFile(fileOf(cluster, ref), file);
  };
  const earlier = await Promise.all(refs.map((ref) => earlierThan(cluster, ref)));
  await flip(flipped);
  await truncate(fileOf(cluster, cut!), cut!.bytes >> 1);
  await rm(fileOf(cluster, lost!));
  await copyFile(fileOf(cluster, earlier[3]!), fileOf(cluster, exchanged!));
  const nan = await withNaN(cluster, 'not-a-number', sound!);
  await flip(first!);
  await flip(earlier[5]!);

  const worker = await cluster.startWorker('next');
  const expected = await truth(cluster, models.induction, text, scoreTask);
  for (const [i, ref, message] of [
    [0, flipped, `sha256 of the file: expected ${flipped.sha256}, found `],
    [1, cut!, `size in bytes: expected ${cut!.bytes}, found ${cut!.bytes >> 1}`],
    [2, lost!, `is missing; ${lost!.bytes} bytes were expected`],
    [3, exchanged!, 'expected '],
    [4, nan, 'is NaN; every number must be finite'],
    [5, earlier[5]!, 'sha256 of the file: expected '],
  ] as const) {
    const jobId = ids[i]!;
    const result = await cluster.result(jobId);
    await assertSame(cluster, jobId, result, expected);
    const falls = i === 5 ? 2 : 1;
    assert.equal(result.stats.fallbacks, falls, jobId);
    const { fallback } = await cluster.head(jobId, (head) => head.status === 'done');
    assert.equal(fallback!.key, ref.key);
    assert.ok(fallback!.message.includes(message), fallback!.message);
    assert.equal(fallback!.toTokenOffset, i === 5 ? 0 : earlier[i]!.tokenOffset);
    const again = refs[i]!.tokenOffset - fallback!.toTokenOffset;
    assert.ok(result.stats.recomputedTokens >= again, `${result.stats.recomputedTokens} of ${again} tokens`);
  }
  assert.ok(worker.alive);
});

test('a head that names a sound checkpoint of another position or another model is refused', async (t) => {
  const { cluster, refs } = await handedBack(
    t,
    ['position-named', 'model-named'],
    models.tinyEnglish,
    await bookBytes(50_000),
  );
  const [position, model] = refs as [CheckpointRef, CheckpointRef];
  const earlier = await earlierThan(cluster, position);
  await nameInHead(cluster, 'position-named', earlier);

  const stranger = await Cluster.start({ model: models.induction, env: committing });
  t.after(() => stranger.close());
  const donor = await stranger.submitText('model-donor', Buffer.from('abacad#b'), scoreTask);
  await stranger.startWorker('stranger');
  const { checkpoint } = await stranger.result(donor);
  const digest = (await stranger.head(donor, () => true)).pins!.modelDigest;
  const key = 'jobs/model-named/ckpt/0000000099-1-donated.safetensors';
  await copyFile(fileOf(stranger, checkpoint!), join(cluster.dir, 'store', key));
  await nameInHead(cluster, 'model-named', { ...checkpoint!, key });

  await cluster.startWorker('next');
  for (const [jobId, ref, expected] of [
    ['position-named', position, `of token offset ${earlier.tokenOffset}, the head stands at ${position.tokenOffset}`],
    ['model-named', model, `of model ${digest}, this worker runs `],
  ] as const) {
    const { failure } = await assertRefused(cluster, jobId, 'checkpoint_mismatch');
    assert.ok(failure!.message.includes(expected), failure!.message);
    await assertOutput(cluster, jobId, 1);
    // Its own checkpoint still lies in the store, whole.
    assert.equal((await cluster.ledger.loadCheckpoint(jobId, ref)).tokenOffset, ref.tokenOffset);
  }
});
