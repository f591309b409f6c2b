import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { limits, type OutputRecord } from '@longhaul/core/contracts';
import { EMPTY_CHAIN, extendChain, recordLine } from '@longhaul/core/ledger';
import fc from 'fast-check';
import { appendSegment, decodeSegment, encodeSegment, extendChainInTurns } from '../../core/ledger/segments.ts';

const coded = (code: string) => (error: unknown) => (error as { code?: unknown }).code === code;
const token = (position: number): OutputRecord => ({
  position,
  token: position * 3,
  logprob: -0.1,
  text: `t${position}`,
});

const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n + 0);
const top = fc.array(fc.tuple(fc.nat(), number), { maxLength: limits.topLogprobs });
const anyRecord: fc.Arbitrary<OutputRecord> = fc.oneof(
  fc.record({
    position: fc.integer({ min: 1, max: 1e9 }),
    token: fc.nat(),
    logprob: number,
    text: fc.string({ unit: 'binary' }),
    top: fc.option(top, { nil: undefined }),
  }),
  fc.record({
    from: fc.nat(),
    to: fc.nat(),
    scored: fc.nat(),
    nats: number,
    logprobs: fc.option(fc.array(number, { maxLength: 5 })),
    top: fc.option(fc.array(top, { maxLength: 5 }), { nil: undefined }),
  }),
);

test('the chain is sha256 over (digest, line), begins with that of nothing, and depends on order alone', (t) => {
  assert.equal(EMPTY_CHAIN, createHash('sha256').update('').digest('hex'));
  const line = recordLine(token(1));
  assert.equal(line, '{"position":1,"token":3,"logprob":-0.1,"text":"t1"}');
  const byHand = createHash('sha256').update(Buffer.from(EMPTY_CHAIN, 'hex')).update(line).digest('hex');
  assert.equal(extendChain(EMPTY_CHAIN, [line]), byHand);
  assert.notEqual(extendChain(EMPTY_CHAIN, ['a', 'b']), extendChain(EMPTY_CHAIN, ['b', 'a']));
  assert.notEqual(extendChain(EMPTY_CHAIN, ['ab']), extendChain(EMPTY_CHAIN, ['a', 'b']));
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const cuts = fc.property(fc.array(fc.string(), { maxLength: 20 }), fc.nat(20), (lines, cut) => {
    const split = extendChain(extendChain(EMPTY_CHAIN, lines.slice(0, cut)), lines.slice(cut));
    assert.equal(split, extendChain(EMPTY_CHAIN, lines));
  });
  fc.assert(cuts, { seed });
});

test('any records read back from a segment as they were, and so do their lines', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const roundTrip = fc.asyncProperty(fc.array(anyRecord, { minLength: 1, maxLength: 20 }), async (records) => {
    const encoded = await encodeSegment('seg', records);
    const decoded = await decodeSegment('seg', encoded.bytes);
    assert.deepEqual(decoded.records, JSON.parse(JSON.stringify(records)));
    assert.deepEqual(decoded.lines, encoded.lines);
  });
  await fc.assert(roundTrip, { seed, numRuns: 200 });
});

test('a record that is none is not written', async () => {
  const bad = { ...token(1), logprob: Number.NaN } as OutputRecord;
  await assert.rejects(encodeSegment('seg-7', [token(1), bad]), (error: Error) => {
    assert.match(error.message, /^seg-7: record 1: /);
    return coded('object_corrupt')(error);
  });
});

test('damaged segments are object_corrupt, naming the line', async () => {
  const good = recordLine(token(1));
  const cases: readonly (readonly [Uint8Array, RegExp])[] = [
    [new Uint8Array(0), /does not decompress|last line/],
    [Buffer.from('not zstd at all'), /does not decompress/],
    [zstdCompressSync(Buffer.from(`${good}\n`)).subarray(0, 20), /does not decompress|last line/],
    [zstdCompressSync(Buffer.from(good)), /last line is cut off/],
    [zstdCompressSync(Buffer.from([0xff, 0x0a])), /does not decompress to UTF-8/],
    [zstdCompressSync(Buffer.from(`${good}\n{"position":\n`)), /line 2 is not JSON/],
    [zstdCompressSync(Buffer.from(`${good}\n{"position":0}\n`)), /line 2: /],
  ];
  for (const [bytes, expected] of cases) {
    await assert.rejects(decodeSegment('seg', bytes), (error: Error) => {
      assert.match(error.message, expected);
      return coded('object_corrupt')(error);
    });
  }
});

test('a segment that inflates past the limit is refused in bounded memory', async () => {
  const bomb = zstdCompressSync(Buffer.alloc(limits.segmentBytes + 1));
  assert.ok(bomb.length < 1024 * 1024);
  await assert.rejects(decodeSegment('bomb', bomb), coded('object_corrupt'));
});

test('runs of segments grow at their end, break at a takeover or a commit without output, and have a limit', () => {
  let runs = appendSegment('head', [], 1, 1);
  runs = appendSegment('head', runs, 2, 1);
  runs = appendSegment('head', runs, 3, 2);
  runs = appendSegment('head', runs, 5, 2);
  assert.deepEqual(runs, [
    { fromSeq: 1, toSeq: 2, epoch: 1 },
    { fromSeq: 3, toSeq: 3, epoch: 2 },
    { fromSeq: 5, toSeq: 5, epoch: 2 },
  ]);
  const full = Array.from({ length: 512 }, (_, i) => ({ fromSeq: i + 1, toSeq: i + 1, epoch: i + 1 }));
  assert.equal(appendSegment('head', full, 513, 512).length, 512);
  assert.throws(() => appendSegment('head', full, 513, 513), coded('object_too_large'));
});

test('a bit that flips anywhere in a segment is seen, or changes nothing of what is read', async () => {
  // Texts that do not compress lie in the frame as they are: without a digest a flip there would be read as text.
  const records = Array.from({ length: 4 }, (_, i) => ({ ...token(i + 1), text: randomBytes(24).toString('base64') }));
  const { bytes, lines } = await encodeSegment('seg', records);
  let refused = 0;
  for (let at = 0; at < bytes.length; at++) {
    const damaged = Uint8Array.from(bytes);
    damaged[at]! ^= 1;
    const read = await decodeSegment('seg', damaged).catch((error: unknown) => {
      assert.ok(coded('object_corrupt')(error));
      refused += 1;
      return { lines };
    });
    assert.deepEqual(read.lines, lines, `byte ${at} of ${bytes.length}`);
  }
  assert.ok(refused > bytes.length - 10, `${refused} of ${bytes.length} flips were refused`);
});

test('a commit of many records gives the event loop its turns', async () => {
  const records = Array.from({ length: 8000 }, (_, i) => token(i + 1));
  let turns = 0;
  let done = false;
  const count = () => {
    turns += 1;
    if (!done) setImmediate(count);
  };
  setImmediate(count);
  const { lines } = await encodeSegment('seg', records);
  const before = turns;
  assert.equal(await extendChainInTurns(EMPTY_CHAIN, lines), extendChain(EMPTY_CHAIN, lines));
  done = true;
  assert.ok(before >= 7 && turns - before >= 7, `${before} turns while encoding, ${turns - before} while chaining`);
});
