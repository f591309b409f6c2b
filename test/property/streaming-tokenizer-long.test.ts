import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Document, loadTokenizer, type TextTokenizer } from '@longhaul/worker/text';
import { loadSmall, splits, trainMerges } from '../support/small-bpe.ts';
import { falconDir, never, noFalcon } from '../support/text-documents.ts';

/**
 * Documents without a word border: each is one run, far larger than what may be held of it. Their first tokens are
 * compared with those of a shorter run of the same kind, encoded whole.
 */
const kinds = [
  { name: 'digits', unit: '0123456789', megabytes: 10 },
  { name: 'letters', unit: 'a', megabytes: 50 },
  { name: 'spaces', unit: ' ', megabytes: 3 },
  { name: 'newlines', unit: '\n', megabytes: 3 },
  { name: 'exclamation marks', unit: '!', megabytes: 3 },
  { name: 'apostrophes', unit: "'", megabytes: 3 },
  { name: 'dashes', unit: '-', megabytes: 3 },
  { name: 'Han characters', unit: '漢字文', megabytes: 3 },
  { name: 'emoji', unit: '😀', megabytes: 3 },
  { name: 'letters whose bytes count as digits', unit: 'ò½', megabytes: 3 },
  { name: 'bytes without a token', unit: '\u0003', megabytes: 3 },
  { name: 'letters between bytes without a token', unit: 'a\u0003', megabytes: 3 },
] as const;

const prose = 'aaaa aaaaaaaa !!!! -------- ======== \n\n\n\n        12 1234 漢字 漢字 文漢 😀😀 😀 òò ½½ '.repeat(3);
const tokenizers = [
  { name: 'Falcon', load: () => loadTokenizer(join(falconDir, 'base')), skip: noFalcon, scale: 1 },
  {
    name: 'a small BPE split as by GPT-2',
    load: () => loadSmall({ merges: trainMerges(prose, 60), pre: splits.gpt2, missing: [3], added: ['<|end|>'] }),
    skip: false as const,
    // Where Falcon's tokenizer is at hand, it runs the full sizes.
    scale: noFalcon ? 1 : 0.1,
  },
];

for (const { name, load, skip, scale } of tokenizers) {
  test(`${name}: runs of up to 50 MB, in constant memory`, { skip, timeout: 240_000 }, async (t) => {
    const tokenizer = await load();
    for (const { name: kind, unit, megabytes } of kinds) {
      const bytes = Math.round(megabytes * scale * 1e6);
      const started = performance.now();
      const { grown, tokens, checked } = await readRun(tokenizer, unit, bytes);
      const seconds = (performance.now() - started) / 1000;
      const rate = `${(bytes / 1e6 / seconds).toFixed(1)} MB/s`;
      t.diagnostic(`${kind}: ${bytes / 1e6} MB, ${tokens} tokens, ${rate}, RSS +${(grown / 1e6).toFixed(0)} MB`);
      assert.ok(grown < 64e6, `${kind}: RSS grew by ${grown} bytes over ${bytes}`);
      assert.ok(checked >= 1000 || tokens < 1000, `${kind}: ${checked} of ${tokens} tokens were compared`);
    }
  });
}

/** Reads `unit` repeated to `bytes` bytes, after some that bring the process and its garbage to their usual size. */
async function readRun(tokenizer: TextTokenizer, unit: string, bytes: number) {
  // A whole encoding of 200,000 bytes; the stream begins as it does, up to where its end shows.
  const whole = await tokenizer.encode(unit.repeat(200_000 / Buffer.byteLength(unit)));
  const sure = Math.max(0, whole.length - 200);
  await drain(tokenizer, unit, Math.min(bytes, 8e6));
  const before = process.memoryUsage.rss();
  const { head, tokens, peak } = await drain(tokenizer, unit, bytes);
  const checked = Math.min(sure, head.length, tokens);
  assert.deepEqual(head.slice(0, checked), whole.slice(0, checked));
  return { grown: peak - before, tokens, checked };
}

async function drain(tokenizer: TextTokenizer, unit: string, bytes: number) {
  const stream = tokenizer.openStream(runOf(unit, bytes), null, { invalidUtf8: 'error' });
  let head: Int32Array = new Int32Array(0);
  let tokens = 0;
  let peak = 0;
  for (;;) {
    const some = await stream.read(20_000, never);
    if (tokens === 0) head = some;
    tokens += some.length;
    peak = Math.max(peak, process.memoryUsage.rss());
    assert.ok(stream.cursor().text.length < 200);
    if (some.length === 0) break;
  }
  await stream.close();
  return { head, tokens, peak };
}

function runOf(unit: string, bytes: number): Document {
  const part = Buffer.from(unit.repeat(Math.ceil(65_536 / Buffer.byteLength(unit))));
  const parts = Math.ceil(bytes / part.length);
  return {
    pin: { tag: 'sha256:test', bytes: null },
    totalBytes: null,
    async *read() {
      for (let i = 0; i < parts; i++) yield part;
    },
  };
}
