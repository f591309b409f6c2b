import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { RejectedJob } from '@longhaul/core/contracts';
import { detectContainer, inflate } from '../../worker/text/source/compression.ts';

const text = Buffer.from('a page of the book\n'.repeat(500));
const trash = Buffer.from('trash trash trash');
const zeros = Buffer.alloc(100);
const compress = { gzip: (b: Uint8Array) => gzipSync(b), zstd: (b: Uint8Array) => zstdCompressSync(b) };

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function inflated(kind: 'gzip' | 'zstd', bytes: Uint8Array, size: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of inflate(pieces(bytes, size), kind, 'd')) parts.push(part);
  return Buffer.concat(parts);
}

for (const kind of ['gzip', 'zstd'] as const) {
  const one = compress[kind](text);
  const empty = compress[kind](Buffer.alloc(0));
  const sizes = [1, 2, 7, empty.length, one.length - 1, one.length, one.length + 1, 1 << 20];

  test(`${kind}: one after another, whatever the chunks`, async () => {
    const sound: [Uint8Array[], number][] = [
      [[one], 1],
      [[one, one, one], 3],
      [[empty, one, empty], 1],
      ...(kind === 'gzip' ? ([[[one, one, zeros], 2]] as [Uint8Array[], number][]) : []),
    ];
    for (const [parts, times] of sound) {
      for (const size of sizes) {
        const found = await inflated(kind, Buffer.concat(parts), size);
        assert.ok(found.equals(Buffer.concat(Array(times).fill(text))), `${times} in chunks of ${size}`);
      }
    }
  });

  test(`${kind}: damage, a missing end and what follows the end are refused with the offset`, async () => {
    const flipped = Buffer.from(kind === 'gzip' ? one : zstdCompressSync(text, { params: { 201: 1 } }));
    flipped[flipped.length - 3]! ^= 0x55;
    const wrong: [string, Uint8Array[]][] = [
      ['cut', [one.subarray(0, -3)]],
      ['second one cut', [one, one.subarray(0, 5)]],
      ['bytes behind the end', [one, trash]],
      ['bytes behind zeros', [one, zeros, trash]],
      ['not compressed', [trash]],
      ['checksum', [flipped]],
    ];
    for (const [name, parts] of wrong) {
      for (const size of sizes) {
        await assert.rejects(
          inflated(kind, Buffer.concat(parts), size),
          (error) =>
            error instanceof RejectedJob &&
            error.code === 'corrupt_compression' &&
            /compressed byte \d+/.test(error.message),
          `${name} in chunks of ${size}`,
        );
      }
    }
  });

  test(`${kind}: an error of the source stays what it is, and an early end closes it`, async () => {
    const broken = new Error('the line is dead');
    async function* failing() {
      yield one.subarray(0, 9);
      throw broken;
    }
    await assert.rejects(async () => {
      for await (const _ of inflate(failing(), kind, 'd'));
    }, broken);
    let closed = false;
    async function* watched() {
      try {
        yield* pieces(Buffer.concat([one, one, one]), 5);
      } finally {
        closed = true;
      }
    }
    for await (const _ of inflate(watched(), kind, 'd')) break;
    assert.ok(closed);
  });

  test(`${kind}: a text that is far larger than its container comes in bounded pieces`, async () => {
    const bomb = compress[kind](Buffer.alloc(20_000_000));
    let total = 0;
    for await (const part of inflate(pieces(bomb, bomb.length), kind, 'd')) {
      assert.ok(part.length <= 256 * 1024, `${part.length}`);
      total += part.length;
    }
    assert.equal(total, 20_000_000);
  });

  test(`${kind}: members and frames that begin with any other, and their rest, are told apart`, async () => {
    const mixed = Buffer.concat([one, compress[kind === 'gzip' ? 'zstd' : 'gzip'](text)]);
    for (const size of sizes) {
      await assert.rejects(inflated(kind, mixed, size), { code: 'corrupt_compression' }, `in chunks of ${size}`);
    }
  });

  test(`${kind} is known by its first bytes`, () => {
    assert.equal(detectContainer(one), kind);
    assert.equal(detectContainer(one.subarray(0, 1)), 'none');
    assert.equal(detectContainer(trash), 'none');
  });
}

test('zstd: skippable frames are skipped, wherever they stand', async () => {
  const one = zstdCompressSync(text);
  const skippable = (bytes: number) => {
    const frame = Buffer.alloc(8 + bytes, 0x28);
    frame.writeUInt32LE(0x184d2a53, 0);
    frame.writeUInt32LE(bytes, 4);
    return frame;
  };
  assert.equal(detectContainer(skippable(9)), 'zstd');
  const cases: [Uint8Array[], number][] = [
    [[one, skippable(40)], 1],
    [[one, skippable(0), one], 2],
    [[skippable(1000), one], 1],
  ];
  for (const [parts, times] of cases) {
    for (const size of [1, 5, one.length, 1 << 20]) {
      const found = await inflated('zstd', Buffer.concat(parts), size);
      assert.ok(found.equals(Buffer.concat(Array(times).fill(text))), `${times} in chunks of ${size}`);
    }
  }
});
