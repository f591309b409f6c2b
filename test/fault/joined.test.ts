import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { DocumentSource, TextSource } from '@longhaul/core/contracts';
import { Cluster, models } from '../support/cluster.ts';
import { assertRefusedLater, committing, runUntil } from './committed-work.ts';
import { assertSame, bookBytes, scoreTask, truth } from './shared.ts';

/** A book in four parts, each in its own container: read joined it is the book again, two line ends at each seam. */
async function parts(cluster: Cluster, book: Buffer): Promise<{ document: DocumentSource; whole: Buffer }> {
  const containers = [(b: Buffer) => b, gzipSync, zstdCompressSync, (b: Buffer) => b];
  const size = Math.ceil(book.length / containers.length);
  const pieces = containers.map((_, i) => book.subarray(i * size, (i + 1) * size));
  const sources: TextSource[] = [];
  for (const [i, piece] of pieces.entries()) {
    const path = join(cluster.dir, `part-${i}`);
    await writeFile(path, containers[i]!(piece));
    sources.push({ kind: 'file', path });
  }
  const whole = Buffer.concat(pieces.flatMap((piece, i) => (i === 0 ? [piece] : [Buffer.from('\n\n'), piece])));
  return { document: { kind: 'joined', parts: sources, separator: '\n\n' }, whole };
}

test('P3: a joined document, killed on the way and taken up again, ends as the one file that it makes', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: committing });
  t.after(() => cluster.close());
  const { document, whole } = await parts(cluster, await bookBytes(80_000));
  const jobId = await cluster.submit('joined-killed', document, scoreTask);
  await runUntil(cluster, jobId, 16_384, 'SIGKILL');
  await cluster.startWorker('second');
  await assertSame(
    cluster,
    jobId,
    await cluster.result(jobId),
    await truth(cluster, models.tinyEnglish, whole, scoreTask),
  );
});

test('a part that changed between two attempts is refused by its number, and what was read is kept', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: committing });
  t.after(() => cluster.close());
  const { document } = await parts(cluster, await bookBytes(80_000));
  const jobId = await cluster.submit('joined-changed', document, scoreTask);
  const committed = await runUntil(cluster, jobId, 16_384, 'SIGKILL');
  await writeFile(join(cluster.dir, 'part-3'), 'another end');
  await cluster.startWorker('second');
  const { failure } = await assertRefusedLater(cluster, jobId, 'source_changed', committed);
  assert.match(failure!.message, /^part 4 of 4 has changed since it was first read/);
});
