import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RejectedJob, RetryableFailure } from '@longhaul/core/contracts';
import type { Document } from '@longhaul/worker/text';
import { loadSmall, splits, trainMerges } from '../support/small-bpe.ts';
import { bytesDocument, never, readRest, streamTokens } from '../support/text-documents.ts';

const small = { merges: trainMerges('the cat and the hat and the bat', 20), pre: splits.gpt2 };
const mode = { invalidUtf8: 'error' } as const;
const rejected = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof RejectedJob && error.code === code && message.test(error.message);

test('a text that is no cursor is refused', async () => {
  const tokenizer = await loadSmall(small);
  const { document } = bytesDocument(Buffer.from('the cat'));
  const good = { v: 1, at: 0, state: 0, drop: 0, skip: 0 };
  const wrong = [
    '',
    'null',
    '{',
    '[]',
    '{"v":1}',
    ...[{ v: 2 }, { at: -1 }, { state: 256 }, { drop: 4 }, { skip: 0.5 }, { x: 1 }].map((part) =>
      JSON.stringify({ ...good, ...part }),
    ),
    JSON.stringify(good).padEnd(20_000),
  ];
  for (const text of wrong) {
    assert.throws(
      () => tokenizer.openStream(document, text, mode),
      rejected('checkpoint_corrupt', /not a text cursor/),
      text,
    );
  }
  const stream = tokenizer.openStream(document, JSON.stringify({ ...good, skip: 99 }), mode);
  await assert.rejects(stream.read(1, never), rejected('checkpoint_corrupt', /skips 99 tokens/));
});

test('a resumed stream opens the document near where it stands, not at its start', async () => {
  const tokenizer = await loadSmall(small);
  const { document, reads } = bytesDocument(Buffer.from('the cat and the hat '.repeat(20_000)));
  const stream = tokenizer.openStream(document, null, mode);
  await stream.read(60_000, never);
  const { byteOffset, text } = stream.cursor();
  await stream.close();
  const resumed = tokenizer.openStream(document, text, mode);
  await resumed.read(1, never);
  await resumed.close();
  assert.deepEqual(reads, [0, byteOffset]);
  assert.ok(byteOffset > 100_000, `${byteOffset}`);
});

test('an invalid byte fails the read, with its offset in the whole document also when resumed', async () => {
  const tokenizer = await loadSmall(small);
  const bytes = Buffer.concat([Buffer.from('the cat '.repeat(10_000)), Buffer.from([0xff])]);
  const { document } = bytesDocument(bytes, [1000]);
  const stream = tokenizer.openStream(document, null, mode);
  await stream.read(5_000, never);
  const { text } = stream.cursor();
  await assert.rejects(readRest(stream), rejected('invalid_utf8', /0xff at offset 80000 /));
  await assert.rejects(stream.read(1, never), rejected('invalid_utf8', /80000/));
  await assert.rejects(
    readRest(tokenizer.openStream(document, text, mode)),
    rejected('invalid_utf8', /0xff at offset 80000 /),
  );
  assert.ok((await streamTokens(tokenizer, bytes, [1000], 'replace')).length > 10_000);
});

test('an aborted read loses nothing: the next one goes on', async () => {
  const tokenizer = await loadSmall(small);
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  const document: Document = {
    ...bytesDocument(Buffer.alloc(0)).document,
    async *read() {
      yield Buffer.from('the cat ');
      await gate;
      yield Buffer.from('and the hat');
    },
  };
  const stream = tokenizer.openStream(document, null, mode);
  const controller = new AbortController();
  const reading = stream.read(100, controller.signal);
  setImmediate(() => controller.abort(new Error('stop')));
  await assert.rejects(reading, /stop/);
  open();
  assert.deepEqual(await readRest(stream), Array.from(await tokenizer.encode('the cat and the hat')));
  await stream.close();
});

test('a document that fails passes its error on, again and again; a closed stream says so', async () => {
  const tokenizer = await loadSmall(small);
  const document: Document = {
    ...bytesDocument(Buffer.alloc(0)).document,
    // biome-ignore lint/correctness/useYield: it fails before there is anything to give.
    async *read() {
      throw new RetryableFailure('source_unreadable', 'gone');
    },
  };
  const stream = tokenizer.openStream(document, null, mode);
  await assert.rejects(stream.read(1, never), /gone/);
  await assert.rejects(stream.peek(never), /gone/);
  const closed = tokenizer.openStream(bytesDocument(Buffer.from('the')).document, null, mode);
  await closed.close();
  await assert.rejects(closed.read(1, never), /closed/);
});

test('closing ends the reading of the document', async () => {
  const tokenizer = await loadSmall(small);
  let ended = false;
  const document: Document = {
    ...bytesDocument(Buffer.alloc(0)).document,
    async *read(_from, signal) {
      try {
        for (; !signal.aborted; ) yield Buffer.from('the cat and ');
      } finally {
        ended = true;
      }
    },
  };
  const stream = tokenizer.openStream(document, null, mode);
  await stream.read(10, never);
  await stream.close();
  assert.ok(ended);
});
