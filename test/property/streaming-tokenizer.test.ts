import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { limits } from '@longhaul/core/contracts';
import { loadTokenizer, type TextTokenizer } from '@longhaul/worker/text';
import fc from 'fast-check';
import { longAdded, longText, shortText } from '../support/hostile-texts.ts';
import { drawMerges, loadSmall, splits, trainMerges } from '../support/small-bpe.ts';
import { bytesDocument, falconDir, never, noFalcon, repositoryRoot, streamTokens } from '../support/text-documents.ts';

const seed = Number(process.env['LONGHAUL_SEED'] ?? Date.now() % 0x7fffffff);

const chunkLengths = fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 6 });
const readCounts = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 6 });

const prose =
  "The whale's jaw, 12345 feet; it hasn't moved --- ''tis said -- since 1851!!! Ναι, да, 日本。\n\n\t\tA ship, a  ship, 77777 ships.";
const falcon = (model: string) => ({
  name: `Falcon ${model}`,
  load: () => loadTokenizer(join(falconDir, model)),
  skip: noFalcon,
});
const tokenizers = [
  {
    name: 'tiny-english',
    load: () => loadTokenizer(join(repositoryRoot, 'models/tiny-english')),
    skip: false as const,
  },
  {
    name: 'a small BPE split as by GPT-2',
    load: () =>
      loadSmall({
        merges: trainMerges(prose, 90),
        pre: splits.gpt2,
        missing: [3, 11, 0xf2],
        added: ['<|endoftext|>', 'assistant'],
      }),
    skip: false as const,
  },
  {
    name: 'a small BPE without added tokens',
    load: () => loadSmall({ merges: trainMerges(prose, 90), pre: splits.gpt2 }),
    skip: false as const,
  },
  {
    name: 'a small BPE split as by Falcon',
    load: () =>
      loadSmall({
        merges: trainMerges(prose, 90),
        pre: splits.falcon,
        missing: [4, 0xb2],
        added: ['>>TITLE<<', '<|im_start|>', '>>TITLE', longAdded],
      }),
    skip: false as const,
  },
  falcon('base'),
  falcon('instruct'),
];

for (const { name, load, skip } of tokenizers) {
  let tokenizer: TextTokenizer;
  before(async () => {
    if (!skip) tokenizer = await load();
  });

  test(`${name}: any split into chunks gives the tokens of the whole`, { skip }, async (t) => {
    t.diagnostic(`seed ${seed}`);
    await fc.assert(
      fc.asyncProperty(shortText, async (text) => {
        const bytes = Buffer.from(text);
        const whole = Array.from(await tokenizer.encode(text));
        assert.deepEqual(await streamTokens(tokenizer, bytes), whole);
        // Two chunks, split at every byte.
        for (let at = 1; at < bytes.length; at++) {
          assert.deepEqual(await streamTokens(tokenizer, bytes, [at, bytes.length]), whole, `split at ${at}`);
        }
        assert.deepEqual(await streamTokens(tokenizer, bytes, [1]), whole, 'byte by byte');
      }),
      { seed, numRuns: 50 },
    );
  });

  test(`${name}: long runs, read in any portions, resumed anywhere`, { skip }, async (t) => {
    t.diagnostic(`seed ${seed}`);
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(shortText, longText),
        chunkLengths,
        readCounts,
        fc.nat(),
        async (text, chunks, counts, when) => {
          const bytes = Buffer.from(text);
          const whole = await tokenizer.encode(text);
          await checkResumes(tokenizer, bytes, whole, { chunks, counts, when });
        },
      ),
      { seed, numRuns: 40 },
    );
  });
}

test('any merge table streams: random merges, ranks in no order', async (t) => {
  t.diagnostic(`seed ${seed}`);
  await fc.assert(
    fc.asyncProperty(
      fc.infiniteStream(fc.nat()),
      fc.integer({ min: 1, max: 60 }),
      fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 300, maxLength: 3_000 }),
      async (numbers, count, letters) => {
        const draw = (n: number) => numbers.next().value % n;
        const small = await loadSmall({ merges: drawMerges([97, 98, 99, 100], count, draw), pre: splits.gpt2 });
        const text = letters
          .map((i) => 'abcd'[i])
          .join('')
          .repeat(1 + (count % 4));
        const whole = await small.encode(text);
        await checkResumes(small, Buffer.from(text), whole, { chunks: [37, 300], counts: [50, 7], when: count });
      },
    ),
    { seed, numRuns: 40 },
  );
});

test('a last byte may move every border before it: nothing is given out too early', async () => {
  // Symbols of two letters each, then merges of neighbours that rank higher the further right they are: which ones
  // pair up depends on whether the run's length is odd, all the way back to its start.
  const symbols = Array.from({ length: 300 }, (_, i) => [
    String.fromCharCode(97 + (i % 26)),
    String.fromCharCode(65 + Math.floor(i / 26)),
  ]) as [string, string][];
  const names = symbols.map((pair) => pair.join(''));
  const neighbours = names.slice(1).map((name, i): [string, string] => [names[i]!, name]);
  const merges = [...symbols, ...neighbours.reverse()];
  const cascade = await loadSmall({ merges, pre: splits.gpt2 });
  for (const length of [299, 300]) {
    const text = names.slice(0, length).join('');
    const whole = Array.from(await cascade.encode(text));
    assert.equal(whole.length, 150);
    for (const chunk of [10, 16, 100, 301]) {
      assert.deepEqual(await streamTokens(cascade, Buffer.from(text), [chunk]), whole, `${length}, chunks of ${chunk}`);
    }
  }
});

test('real prose with every tokenizer', async () => {
  const chapter = readFileSync(join(repositoryRoot, 'test/fixtures/tiny-english/golden-long.txt'), 'utf8').repeat(20);
  for (const { name, load, skip } of tokenizers) {
    if (skip) continue;
    const tokenizer = await load();
    const whole = await tokenizer.encode(chapter);
    assert.deepEqual(await streamTokens(tokenizer, Buffer.from(chapter), [1_000, 70_001]), Array.from(whole), name);
  }
});

test('replaced bytes give the tokens of the text with U+FFFD in their place, also when resumed between them', async (t) => {
  t.diagnostic(`seed ${seed}`);
  const tokenizer = await tokenizers[1]!.load();
  const part = fc.oneof(
    fc.uint8Array({ maxLength: 6 }),
    shortText.map((s) => Buffer.from(s)),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(part, { maxLength: 60 }),
      chunkLengths,
      readCounts,
      fc.nat(),
      async (parts, chunks, counts, when) => {
        const bytes = Buffer.concat(parts);
        const whole = await tokenizer.encode(new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes));
        await checkResumes(tokenizer, bytes, whole, { chunks, counts, when, invalidUtf8: 'replace' });
      },
    ),
    { seed, numRuns: 150 },
  );
});

interface Reading {
  readonly chunks: readonly number[];
  readonly counts: readonly number[];
  readonly when: number;
  readonly invalidUtf8?: 'error' | 'replace';
}

/** Reads in portions and goes on in a new stream, from its cursor as text, after some of them. */
async function checkResumes(
  tokenizer: TextTokenizer,
  bytes: Uint8Array,
  whole: Int32Array,
  { chunks, counts, when, invalidUtf8 = 'error' }: Reading,
): Promise<void> {
  const { document } = bytesDocument(bytes, chunks);
  let stream = tokenizer.openStream(document, null, { invalidUtf8 });
  let at = 0;
  for (let i = 0; ; i++) {
    const count = counts[i % counts.length]!;
    const first = i % 3 === 0 ? await stream.peek(never) : undefined;
    if (first !== undefined) assert.equal(first, whole[at] ?? null);
    const tokens = await stream.read(count, never);
    assert.deepEqual(tokens, whole.slice(at, at + count), `tokens from ${at} of ${whole.length}`);
    at += tokens.length;
    if (tokens.length < count) break;
    if ((i + when) % 4 === 0) {
      const cursor = stream.cursor();
      assert.ok(cursor.text.length <= limits.cursorBytes);
      assert.ok(cursor.byteOffset <= bytes.length);
      await stream.close();
      stream = tokenizer.openStream(document, cursor.text, { invalidUtf8 });
      // A cursor taken before the first read is as good as the one it came from.
      if (when % 2 === 0) stream = tokenizer.openStream(document, stream.cursor().text, { invalidUtf8 });
    }
  }
  assert.equal(at, whole.length);
  const end = tokenizer.openStream(document, stream.cursor().text, { invalidUtf8 });
  assert.equal(await end.peek(never), null);
  await end.close();
  await stream.close();
}
