import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { Cluster, models } from '../support/cluster.ts';
import { assertRefused, assertRefusedLater, committing } from './committed-work.ts';
import { assertSame, bookBytes, scoreTask, truth } from './shared.ts';

test('a compressed document cut off or damaged in the middle is refused behind the work that was sound', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: committing });
  t.after(() => cluster.close());
  const text = await bookBytes(40_000);
  const gz = gzipSync(text);
  const zst = zstdCompressSync(text);
  const flipped = Buffer.from(gz);
  flipped[gz.length >> 1]! ^= 0x55;
  const put = async (name: string, bytes: Uint8Array) => {
    const path = join(cluster.dir, name);
    await writeFile(path, bytes);
    return { kind: 'file', path } as const;
  };
  await cluster.startWorker('only');
  const cut = await put('cut.txt.gz', gz.subarray(0, (gz.length * 2) / 3));
  await cluster.submit('cut-gzip', cut, scoreTask);
  await cluster.submit('flipped-gzip', await put('flipped.txt.gz', flipped), scoreTask);
  await cluster.submit('cut-zstd', await put('cut.txt.zst', zst.subarray(0, zst.length - 20)), scoreTask);
  await cluster.submit('not-gzip', await put('plain.txt', text), scoreTask, { compression: 'gzip' });

  const { failure } = await assertRefusedLater(cluster, 'cut-gzip', 'corrupt_compression', 8192);
  assert.ok(failure!.message.includes(cut.path), failure!.message);
  assert.match(failure!.message, /no sound gzip at about compressed byte \d+/);
  // Damage shows at the latest in the checksum at the end.
  await assertRefused(cluster, 'flipped-gzip', 'corrupt_compression');
  await assertRefused(cluster, 'cut-zstd', 'corrupt_compression');
  await assertRefused(cluster, 'not-gzip', 'corrupt_compression');
});

test('gzip and zstd end as the plain document does, also where the worker is killed in the middle', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: { ...committing, LONGHAUL_LOCK_MS: '4000' } });
  t.after(() => cluster.close());
  const text = await bookBytes(40_000);
  const expected = await truth(cluster, models.tinyEnglish, text, scoreTask);
  await cluster.submitText('gzip-document', gzipSync(text), scoreTask);
  await cluster.submitText('zstd-document', zstdCompressSync(text), scoreTask);
  const victim = await cluster.startWorker('victim');
  for (const jobId of ['gzip-document', 'zstd-document']) await cluster.head(jobId, (head) => head.seq >= 2);
  await victim.stop('SIGKILL');
  await cluster.startWorker('heir');
  for (const jobId of ['gzip-document', 'zstd-document']) {
    const result = await cluster.result(jobId);
    await assertSame(cluster, jobId, result, expected);
    assert.equal(result.stats.attempts, 2);
  }
});
