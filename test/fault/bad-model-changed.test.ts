import assert from 'node:assert/strict';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Cluster, models } from '../support/cluster.ts';
import { assertRefusedLater, committing, runUntil } from './committed-work.ts';
import { assertSame, bookBytes, scoreTask, truth } from './shared.ts';

const bytes = 50_000;

/** Commits under the first model, then takes the job with another directory under the same served name. */
async function resumeWith(t: TestContext, change: (dir: string) => Promise<void>) {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: committing });
  t.after(() => cluster.close());
  const other = join(cluster.dir, 'other-model');
  await cp(models.tinyEnglish, other, { recursive: true });
  await change(other);
  const text = await bookBytes(bytes);
  const jobId = await cluster.submitText('other-model', text, scoreTask);
  const committed = await runUntil(cluster, jobId, 16_384, 'SIGTERM');
  const { pins } = await cluster.head(jobId, () => true);
  const worker = await cluster.startWorker('other', { LONGHAUL_MODEL: other });
  return { cluster, text, jobId, committed, pins: pins!, worker };
}

test('another model under the same served name is refused; under the first one the document is read again', async (t) => {
  const { cluster, text, jobId, committed, pins, worker } = await resumeWith(t, async (dir) => {
    const path = join(dir, 'model.safetensors');
    const weights = await readFile(path);
    // The lowest mantissa bit of one bf16 weight.
    weights[weights.length - 2]! ^= 1;
    await writeFile(path, weights);
  });
  const { failure } = await assertRefusedLater(cluster, jobId, 'model_mismatch', committed);
  const loaded = JSON.parse(worker.lines.find((line) => line.includes('"model loaded"'))!) as { digest: string };
  assert.notEqual(loaded.digest, pins.modelDigest);
  assert.ok(failure!.message.includes(pins.modelDigest), failure!.message);
  assert.ok(failure!.message.includes(loaded.digest), failure!.message);

  // A refusal is final for its job. What the user does next: serve the first model again and submit the document as
  // another job; checkpoint and output of the refused one stay where they are.
  await worker.stop('SIGTERM');
  await cluster.startWorker('right');
  const again = await cluster.submitText('same-document', text, scoreTask);
  await assertSame(
    cluster,
    again,
    await cluster.result(again),
    await truth(cluster, models.tinyEnglish, text, scoreTask),
  );
  await assertRefusedLater(cluster, jobId, 'model_mismatch', committed);
});

test('another tokenizer is refused on resume', async (t) => {
  const { cluster, jobId, committed, pins } = await resumeWith(t, async (dir) => {
    const path = join(dir, 'tokenizer_config.json');
    const config = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    await writeFile(path, JSON.stringify({ ...config, model_max_length: 4096 }));
  });
  const { failure } = await assertRefusedLater(cluster, jobId, 'tokenizer_mismatch', committed);
  const found = /begun with tokenizer ([0-9a-f]{64}), this worker uses ([0-9a-f]{64})/.exec(failure!.message);
  assert.equal(found?.[1], pins.tokenizerDigest);
  assert.notEqual(found?.[2], pins.tokenizerDigest);
});
