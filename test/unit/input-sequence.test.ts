import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Position } from '@longhaul/core/contracts';
import fc from 'fast-check';
import { type InputChunk, InputSequence } from '../../worker/tasks/input.ts';
import type { TokenStream } from '../../worker/text/ports.ts';

const signal = new AbortController().signal;

/** A document whose token t is 100 + t, two bytes each; its cursor is its place. */
class FakeStream implements TokenStream {
  private at: number;
  private readonly length: number;
  closed = false;
  constructor(length: number, cursor: string | null) {
    this.length = length;
    this.at = Number(cursor ?? 0);
  }
  async read(count: number): Promise<Int32Array> {
    const n = Math.min(count, this.length - this.at);
    const part = Int32Array.from({ length: n }, (_, i) => 100 + this.at + i);
    this.at += n;
    return part;
  }
  async peek(): Promise<number | null> {
    return this.at < this.length ? 100 + this.at : null;
  }
  cursor() {
    return { byteOffset: 2 * this.at, text: String(this.at), reach: null };
  }
  async close(): Promise<void> {
    this.closed = true;
  }
}

const fresh: Position = {
  tokenOffset: 0,
  inputByteOffset: 0,
  textCursor: null,
  inputTokens: null,
  outputCount: 0,
  nextToken: null,
};

interface Shape {
  readonly bos: boolean;
  readonly document: number;
  readonly prompt: number;
}

function open({ bos, document, prompt }: Shape, resume: Position): InputSequence {
  return new InputSequence({
    bos: bos ? 1 : null,
    stream: resume.inputTokens === null ? new FakeStream(document, resume.textCursor) : null,
    prompt: Int32Array.from({ length: prompt }, (_, i) => 10 + i),
    resume,
  });
}

const whole = ({ bos, document, prompt }: Shape) => [
  ...(bos ? [1] : []),
  ...Array.from({ length: document }, (_, i) => 100 + i),
  ...Array.from({ length: prompt }, (_, i) => 10 + i),
];

const shapes = fc.record({
  bos: fc.boolean(),
  document: fc.integer({ min: 1, max: 60 }),
  prompt: fc.integer({ min: 0, max: 20 }),
});

test('chunks follow each other on the grid, look one token ahead, and know where the input ends', async () => {
  await fc.assert(
    fc.asyncProperty(shapes, fc.integer({ min: 1, max: 16 }), async (shape, chunkTokens) => {
      const expected = whole(shape);
      const input = open(shape, fresh);
      const seen: number[] = [];
      for (
        let chunk = await input.read(chunkTokens, signal);
        chunk !== null;
        chunk = await input.read(chunkTokens, signal)
      ) {
        assert.equal(chunk.start, seen.length);
        seen.push(...chunk.tokens);
        assert.equal(chunk.position.tokenOffset, seen.length);
        assert.equal(chunk.next, expected[seen.length] ?? null);
        if (chunk.next !== null)
          assert.equal(seen.length % chunkTokens, 0, 'a chunk inside the input ends off the grid');
      }
      assert.deepEqual(seen, expected);
      assert.equal(input.inputTokens, expected.length);
      assert.equal(input.inputBytes, 2 * shape.document);
    }),
  );
});

test('an input resumed behind any chunk goes on with the same chunks', async () => {
  await fc.assert(
    fc.asyncProperty(shapes, fc.integer({ min: 1, max: 16 }), async (shape, chunkTokens) => {
      const expected = whole(shape);
      const seen: number[] = [];
      let position = fresh;
      for (;;) {
        const input = open(shape, JSON.parse(JSON.stringify(position)) as Position);
        const chunk: InputChunk | null = await input.read(chunkTokens, signal);
        await input.close();
        if (chunk === null) break;
        assert.equal(chunk.start, seen.length);
        seen.push(...chunk.tokens);
        position = { ...fresh, ...chunk.position };
        if (chunk.next === null) break;
      }
      assert.deepEqual(seen, expected);
      assert.equal(position.inputTokens, expected.length);
    }),
  );
});
