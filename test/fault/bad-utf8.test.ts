import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Cluster, models, runUninterrupted } from '../support/cluster.ts';
import { assertRefusedLater, committing, runUntil } from './committed-work.ts';
import { assertSame, bookBytes, scoreTask } from './shared.ts';

const badAt = 40_001;

async function badBook(): Promise<Buffer> {
  const text = await bookBytes(50_000);
  text[badAt] = 0xff;
  return text;
}

test('a byte that is not UTF-8 is named by its offset in the document, also by a later attempt; what is before it stays', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: committing });
  t.after(() => cluster.close());
  const text = await badBook();
  const straight = await cluster.submitText('bad-byte-straight', text, scoreTask);
  await cluster.startWorker('first');
  const { failure } = await assertRefusedLater(cluster, straight, 'invalid_utf8', badAt - 16_384 - 2 * 2048);
  assert.match(failure!.message, new RegExp(`0xff at offset ${badAt} are not UTF-8`));
  await cluster.workers[0]!.stop('SIGTERM');

  const resumed = await cluster.submitText('bad-byte-resumed', text, scoreTask);
  const committed = await runUntil(cluster, resumed, 16_384, 'SIGTERM');
  await cluster.startWorker('second');
  const later = await assertRefusedLater(cluster, resumed, 'invalid_utf8', committed);
  assert.equal(later.failure!.message, failure!.message);
  assert.equal(later.digests.state, (await cluster.ledger.readResult(straight))!.digests.state);
  assert.equal(later.digests.output, (await cluster.ledger.readResult(straight))!.digests.output);
});

test('a document cut off inside a character says so at its end', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: committing });
  t.after(() => cluster.close());
  const text = Buffer.concat([await bookBytes(12_000), Buffer.from('€').subarray(0, 2)]);
  const jobId = await cluster.submitText('cut-character', text, scoreTask);
  await cluster.startWorker('only');
  const { failure } = await assertRefusedLater(cluster, jobId, 'invalid_utf8', 8192);
  assert.match(failure!.message, /0xe282 at offset 12000 are an incomplete UTF-8 character at the end/);
});

test('with replace the same document is read, and interrupted behind the bad byte ends the same', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish, env: committing });
  t.after(() => cluster.close());
  // Two more before it: from here on tokens and bytes of the document no longer run in step.
  const text = await badBook();
  text[100] = 0xc0;
  text[20_000] = 0xe2;
  const file = join(cluster.dir, 'truth.txt');
  await writeFile(file, text);
  const { source } = await cluster.ledger.putInput([text] as unknown as AsyncIterable<Uint8Array>);
  const jobId = await cluster.submit('replaced-bytes', source, scoreTask, { invalidUtf8: 'replace' });
  await runUntil(cluster, jobId, 24_576, 'SIGKILL');
  await cluster.startWorker('second');
  const result = await cluster.result(jobId);
  const args = ['--task', 'score', '--segment-tokens', '2048', '--detail', 'segment', '--threads', '1'];
  const expected = await runUninterrupted(models.tinyEnglish, file, [...args, '--invalid-utf8', 'replace']);
  await assertSame(cluster, jobId, result, expected);
  assert.equal(result.usage.inputBytes, text.length);
  // U+FFFD is three tokens of this tokenizer, in place of one.
  assert.equal(result.usage.inputTokens, text.length + 3 * 2);
});
