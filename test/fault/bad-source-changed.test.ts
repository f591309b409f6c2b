import assert from 'node:assert/strict';
import { appendFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Cluster, models } from '../support/cluster.ts';
import { assertRefusedLater, committing, letters, runUntil } from './committed-work.ts';
import { bookBytes, scoreTask } from './shared.ts';

test('a document edited between two attempts is refused, also where its length stayed', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: committing });
  t.after(() => cluster.close());
  const text = await bookBytes(80_000);
  const path = join(cluster.dir, 'edited.txt');
  await writeFile(path, text);
  const jobId = await cluster.submit('edited-between', { kind: 'file', path }, scoreTask);
  const committed = await runUntil(cluster, jobId, 16_384, 'SIGKILL');
  const before = await stat(path, { bigint: true });
  text[70_000]! ^= 1;
  await writeFile(path, text);
  const after = await stat(path, { bigint: true });
  assert.equal(after.size, before.size);
  await cluster.startWorker('second');
  const { failure } = await assertRefusedLater(cluster, jobId, 'source_changed', committed);
  assert.match(failure!.message, new RegExp(`expected stat:${before.size}:${before.mtimeNs}:${before.ino}`));
  assert.match(failure!.message, new RegExp(`found stat:${after.size}:${after.mtimeNs}:${after.ino}`));
});

test('a document that grows while it is read is refused; what was read before is kept', async (t) => {
  const cluster = await Cluster.start({ model: models.induction, env: committing });
  t.after(() => cluster.close());
  const path = join(cluster.dir, 'growing.txt');
  await writeFile(path, letters(3_000_000));
  const jobId = await cluster.submit('edited-midway', { kind: 'file', path }, scoreTask);
  const worker = await cluster.startWorker('reader');
  await cluster.head(jobId, (head) => head.seq >= 1);
  await appendFile(path, 'one more line');
  const { failure } = await assertRefusedLater(cluster, jobId, 'source_changed', 8192);
  assert.match(failure!.message, /expected stat:3000000:.* \(3000000 bytes\), found stat:3000013:.* \(3000013 bytes\)/);
  assert.ok(worker.alive);
});

test('a document deleted between two attempts is missed by name, in place and in the store', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: committing });
  t.after(() => cluster.close());
  const text = await bookBytes(60_000);
  const path = join(cluster.dir, 'deleted.txt');
  await writeFile(path, text);
  const inPlace = await cluster.submit('deleted-file', { kind: 'file', path }, scoreTask);
  const stored = await cluster.submitText('deleted-stored', text, scoreTask);
  const first = await cluster.startWorker('first');
  for (const jobId of [inPlace, stored]) await cluster.head(jobId, (head) => head.seq >= 1);
  await first.stop('SIGTERM');
  await rm(path);
  const spec = await cluster.ledger.readSpec(stored);
  assert.ok(spec.document?.kind === 'stored');
  await cluster.store.delete(spec.document.key);
  await cluster.startWorker('second');
  const missed = await assertRefusedLater(cluster, inPlace, 'source_not_found', 8192);
  assert.ok(missed.failure!.message.includes(path), missed.failure!.message);
  const missedToo = await assertRefusedLater(cluster, stored, 'source_not_found', 8192);
  assert.ok(missedToo.failure!.message.includes(spec.document.key), missedToo.failure!.message);
});
