import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, fsyncSync, openSync, readdirSync, rmdirSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Cluster, models } from '../support/cluster.ts';
import { mountSmall } from '../support/small-disk.ts';
import { assertCommittedWork, committing } from './committed-work.ts';
import { assertSame, bookBytes, scoreTask, truth } from './shared.ts';

/** Takes all space that is left, again and again, until it is freed. */
function ballast(dir: string) {
  const path = join(dir, '.ballast');
  const page = Buffer.alloc(4096, 1);
  const file = openSync(path, 'w');
  const fill = () => {
    try {
      for (;;) writeSync(file, page);
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
    }
    fsyncSync(file);
  };
  fill();
  const timer = setInterval(fill, 5);
  return () => {
    clearInterval(timer);
    closeSync(file);
    rmSync(path);
  };
}

async function onSmallDisk(t: TestContext): Promise<{ cluster: Cluster; dir: string } | null> {
  const disk = mountSmall(8 << 20);
  if ('reason' in disk) {
    t.skip(disk.reason);
    return null;
  }
  const cluster = await Cluster.start({
    model: models.tinyEnglish,
    store: { url: pathToFileURL(disk.dir).href, options: {}, env: {} },
    env: committing,
  });
  t.after(async () => {
    await cluster.close();
    execFileSync('umount', [disk.dir]);
    rmdirSync(disk.dir);
  });
  return { cluster, dir: disk.dir };
}

test('a disk that fills up in the middle: work waits, what is committed is there, and room ends the job', async (t) => {
  const disk = await onSmallDisk(t);
  if (disk === null) return;
  const { cluster, dir } = disk;
  const text = await bookBytes(80_000);
  const path = join(cluster.dir, 'book.txt');
  writeFileSync(path, text);
  const jobId = await cluster.submit('disk-full', { kind: 'file', path }, scoreTask);
  const worker = await cluster.startWorker('one');
  await cluster.head(jobId, (head) => head.seq >= 1);
  const free = ballast(dir);
  try {
    const line = await worker.says('commit waits for the store');
    assert.match(line, /no space left while writing jobs\/disk-full\/.*ENOSPC/);
    await worker.says('"attempt":3');
    await assertCommittedWork(cluster, jobId, 8192);
  } finally {
    free();
  }
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, scoreTask));
  assert.equal(result.stats.attempts, 1);
  assert.deepEqual(readdirSync(join(dir, '.tmp')), [], 'a write that failed left its part behind');
});

test('a worker killed while the disk is full, its heir, and one that starts on it: all wait, nothing is lost', async (t) => {
  const disk = await onSmallDisk(t);
  if (disk === null) return;
  const { cluster, dir } = disk;
  const text = await bookBytes(60_000);
  const path = join(cluster.dir, 'book.txt');
  writeFileSync(path, text);
  const jobId = await cluster.submit('disk-full-kill', { kind: 'file', path }, scoreTask);
  const first = await cluster.startWorker('first');
  await cluster.head(jobId, (head) => head.seq >= 1);
  const heir = await cluster.startWorker('heir');
  const free = ballast(dir);
  try {
    await first.says('commit waits for the store');
    await first.stop('SIGKILL');
    await assertCommittedWork(cluster, jobId, 8192);
    const late = cluster.launchWorker('late');
    await late.says('waiting for the store');
    assert.match(await heir.says('attempt ended: retry'), /store_full: no space left while writing .*head\.json/);
    assert.ok(late.alive && heir.alive);
  } finally {
    free();
  }
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, scoreTask));
});
