import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFile, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { CheckpointRef, Head, JobId } from '@longhaul/core/contracts';
import { decodeCheckpoint } from '@longhaul/core/ledger';
import { Cluster, models } from '../support/cluster.ts';
import { assertOutput, assertRefused, committing } from './committed-work.ts';
import { bookBytes, scoreTask } from './shared.ts';

/** Jobs side by side, each handed back behind two commits or more. */
async function handedBack(t: TestContext, jobIds: readonly JobId[]) {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: { ...committing, LONGHAUL_SLOTS: '4' } });
  t.after(() => cluster.close());
  const text = await bookBytes(50_000);
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

test('a checkpoint damaged, cut off, lost or exchanged in the store is refused by name; the output stays', async (t) => {
  const { cluster, refs } = await handedBack(t, ['one-bit-flipped', 'cut-in-half', 'lost-object', 'exchanged-object']);
  const [flipped, cut, lost, exchanged] = refs as [CheckpointRef, CheckpointRef, CheckpointRef, CheckpointRef];
  const file = await readFile(fileOf(cluster, flipped));
  file[file.length >> 1]! ^= 1;
  await writeFile(fileOf(cluster, flipped), file);
  await truncate(fileOf(cluster, cut), cut.bytes >> 1);
  await rm(fileOf(cluster, lost));
  const earlier = await earlierThan(cluster, exchanged);
  await copyFile(fileOf(cluster, earlier), fileOf(cluster, exchanged));

  const worker = await cluster.startWorker('next');
  for (const [jobId, ref, expected] of [
    ['one-bit-flipped', flipped, `sha256 of the file: expected ${flipped.sha256}, found `],
    ['cut-in-half', cut, `size in bytes: expected ${cut.bytes}, found ${cut.bytes >> 1}`],
    ['lost-object', lost, `is missing; ${lost.bytes} bytes were expected`],
    ['exchanged-object', exchanged, 'expected '],
  ] as const) {
    const { failure } = await assertRefused(cluster, jobId, 'checkpoint_corrupt');
    assert.ok(failure!.message.includes(ref.key), failure!.message);
    assert.ok(failure!.message.includes(expected), failure!.message);
    await assertOutput(cluster, jobId, ref.tokenOffset);
  }
  assert.ok(worker.alive);
});

test('a head that names a sound checkpoint of another position or another model is refused', async (t) => {
  const { cluster, refs } = await handedBack(t, ['position-named', 'model-named']);
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
