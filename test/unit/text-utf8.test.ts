import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RejectedJob } from '@longhaul/core/contracts';
import fc from 'fast-check';
import { Utf8Chunks } from '../../worker/text/utf8.ts';

const seed = Date.now() % 0x7fffffff;

function decode(mode: 'error' | 'replace', chunks: readonly Uint8Array[], offset = 0): string {
  const utf8 = new Utf8Chunks(mode, offset);
  const parts = chunks.map((chunk) => utf8.push(chunk).bytes);
  // Each part alone is whole characters.
  return [...parts, utf8.end().bytes]
    .map((part) => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(part))
    .join('');
}

const split = (bytes: Uint8Array, size: number) =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));

test('any bytes, in any chunks, are replaced as TextDecoder replaces them', (t) => {
  t.diagnostic(`seed ${seed}`);
  // Mostly bytes that begin, continue or spoil a character.
  const byte = fc.oneof(
    fc.constantFrom(0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5),
    fc.nat(255),
  );
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 24 }), fc.integer({ min: 1, max: 6 }), (array, size) => {
      const bytes = Uint8Array.from(array);
      const expected = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
      assert.equal(decode('replace', split(bytes, size)), expected);
    }),
    { seed, numRuns: 3000 },
  );
});

test('shifts lead from each decoded byte back to where it came from', () => {
  const utf8 = new Utf8Chunks('replace', 0);
  const { bytes, shifts } = utf8.push(Buffer.from([0x61, 0xff, 0x62, 0xe2, 0x82, 0x63]));
  assert.equal(bytes.toString(), 'a\ufffdb\ufffdc');
  // One bad byte becomes three; so do two.
  assert.deepEqual(shifts, [
    { at: 4, shift: -2 },
    { at: 8, shift: -1 },
  ]);
});

test('a wrong byte is named with its offset in the document', () => {
  const cases: [string, number[], RegExp][] = [
    ['a lone continuation', [0x61, 0x62, 0x80, 0x63], /bytes 0x80 at offset 1002 are not UTF-8/],
    ['a broken character', [0x61, 0xe2, 0x82, 0x63], /bytes 0xe282 at offset 1001 are not UTF-8/],
    ['a surrogate', [0xed, 0xa0, 0x80], /bytes 0xed at offset 1000 are not UTF-8/],
    ['an overlong form', [0xc0, 0xaf], /bytes 0xc0 at offset 1000 are not UTF-8/],
    [
      'a character cut off by the end',
      [0x61, 0xf0, 0x9f, 0x98],
      /bytes 0xf09f98 at offset 1001 are an incomplete UTF-8/,
    ],
  ];
  for (const [name, bytes, message] of cases) {
    for (const size of [1, 2, 3, 100]) {
      assert.throws(
        () => decode('error', split(Uint8Array.from(bytes), size), 1000),
        (error) => error instanceof RejectedJob && error.code === 'invalid_utf8' && message.test(error.message),
        `${name} in chunks of ${size}`,
      );
    }
  }
});

test('a byte order mark stays', () => {
  assert.equal(decode('error', [Buffer.from('\ufeffa\ufeff')]), '\ufeffa\ufeff');
});
