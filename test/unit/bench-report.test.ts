// The parts of `npm run bench` that decide what is printed: medians, targets, tables, and the header of its GGUF files.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shapes } from '../bench/cases.ts';
import { ggufHeader } from '../bench/random-model/gguf.ts';
import { elements, tensorsOf } from '../bench/random-model/tensors.ts';
import { peerRowOf, resultsTable, rowOf, table } from '../bench/report.ts';
import { spreadOf } from '../bench/stats.ts';
import { targetOf } from '../bench/targets.ts';

test('a median is the middle value, or the mean of the two middle ones', () => {
  assert.deepEqual(spreadOf([3, 1, 10]), { median: 3, min: 1, max: 10 });
  assert.deepEqual(spreadOf([4, 1, 2, 100]), { median: 3, min: 1, max: 100 });
  assert.throws(() => spreadOf([]), /no values/);
});

test('targets are those of two threads, and only where one was set', () => {
  assert.equal(targetOf('prefill', '790m', 'bf16', 1), 3.5);
  assert.equal(targetOf('decode', '130m', 'bf16', 1), 1.3);
  assert.equal(targetOf('decode', '790m', 'bf16', 1), 1.05);
  assert.equal(targetOf('decode', '130m', 'nf4', 8), 4);
  assert.equal(targetOf('decode', '130m', 'nf4', 16), null);
});

test('a row beside the peer says the ratio of medians, and whether it meets the target', () => {
  const ceilings = { threads: 2, readGBs: 30, f32GFLOPs: 200, bf16GFLOPs: 400, int8GOPs: 800 };
  const row = rowOf('decode', '130m', 'bf16', 1, spreadOf([90, 100, 110]), ceilings);
  assert.ok(row.gbs !== null && Math.abs(row.gbsShare! - row.gbs / 30) < 1e-12);
  const met = peerRowOf(row, 'peer', spreadOf([50, 80, 1000]), 1.25);
  assert.deepEqual([met.ours, met.theirs, met.ratio, met.met], [100, 80, 1.25, true]);
  assert.equal(peerRowOf(row, 'peer', spreadOf([81]), 1.25).met, false);
  assert.equal(peerRowOf(row, 'peer', spreadOf([81]), null).met, null);
  const printed = resultsTable([row], [met, peerRowOf(row, 'another', spreadOf([81]), 1.25)]).split('\n')[2];
  assert.match(printed!, /80\.0 \| +1\.25× ≥ 1\.25 \| +81\.0 \| 1\.23× < 1\.25 missed \|$/);
  assert.equal(rowOf('prefill', '130m', 'int8', 1, spreadOf([1]), { ...ceilings, int8GOPs: null }).gflopsShare, null);
});

test('a table is Markdown with aligned columns', () => {
  assert.equal(
    table(
      ['a', 'long'],
      [
        ['xyz', '1'],
        ['x', '20'],
      ],
    ),
    ['| a   | long |', '|-----|-----:|', '| xyz |    1 |', '| x   |   20 |'].join('\n'),
  );
});

test('a GGUF header names every tensor, has an entry a token, and ends on a multiple of 32 bytes', () => {
  const shape = { ...shapes['130m'], nLayer: 1, vocabSize: 300 };
  const tensors = tensorsOf(shape);
  const header = ggufHeader(shape, tensors, 'bf16', 'small');
  assert.equal(header.toString('latin1', 0, 4), 'GGUF');
  assert.equal(header.readUInt32LE(4), 3);
  assert.equal(Number(header.readBigUInt64LE(8)), tensors.length);
  assert.equal(header.length % 32, 0);
  for (const { gguf } of tensors) assert.ok(header.includes(gguf), gguf);
  const tokens = header.indexOf('tokenizer.ggml.tokens') + 'tokenizer.ggml.tokens'.length;
  assert.deepEqual([header.readUInt32LE(tokens), header.readUInt32LE(tokens + 4)], [9, 8]);
  assert.equal(Number(header.readBigUInt64LE(tokens + 8)), 300);
  assert.ok(tensors.every((tensor) => elements(tensor) > 0));
});
