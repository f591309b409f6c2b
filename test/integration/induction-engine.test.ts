import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { loadModel, type Model, type Session } from '@longhaul/native';
import { type Case, cases, draw } from '../support/induction.ts';

const dir = new URL('../fixtures/induction/', import.meta.url).pathname;

/**
 * Up to 4096 tokens two f32 implementations differ by at most 1e-4 here (7e-5 against f64). Beyond, the roundings of the
 * decay add up: 4e-3 at 262,144 and 1.4e-2 at 2^20, while the answer leads by more than 12.
 */
const toleranceAt = (length: number) => (length <= 4097 ? 1e-3 : 0.05);
const chunkTokens = 2048;
const load = () =>
  loadModel(dir, { device: 'cpu', weights: 'as-stored', activations: 'f32', threads: null, slots: null });
const named = ({ length, seed, position }: Case) => `length ${length}, seed ${seed}, position ${position}`;
const ofLength = (from: number, to: number) => cases.filter(({ length }) => length >= from && length <= to);

/** Feeds equally long documents side by side, chunk by chunk; gives each one's logits after its last token. */
async function read(model: Model, documents: readonly Int32Array[], chunk: number): Promise<Float32Array[]> {
  const sessions = documents.map(() => model.openSession());
  const length = documents[0]!.length;
  let last: Float32Array[] = [];
  for (let at = 0; at < length; at += chunk) {
    const end = Math.min(at + chunk, length);
    last = await step(model, sessions, documents, at, end, end === length);
  }
  for (const session of sessions) session.close();
  return last;
}

async function step(
  model: Model,
  sessions: readonly Session[],
  documents: readonly Int32Array[],
  from: number,
  to: number,
  wantLogits: boolean,
): Promise<Float32Array[]> {
  const want = wantLogits ? ({ kind: 'logits', positions: 'last' } as const) : ({ kind: 'nothing' } as const);
  const results = await model.step(
    sessions.map((session, i) => ({ session, tokens: documents[i]!.subarray(from, to), want })),
  );
  return results.flatMap((result) => (result.kind === 'logits' ? [result.logits] : []));
}

function check(one: Case, logits: Float32Array): void {
  const expected = one.logits_fp64 ?? one.logits_fp32;
  const errors = expected.map((value, id) => Math.abs(value - logits[id]!));
  assert.ok(Math.max(...errors) <= toleranceAt(one.length), `${named(one)}: logits are off by ${Math.max(...errors)}`);
  assert.equal(logits.indexOf(Math.max(...logits.subarray(0, 17))), one.answer, named(one));
}

test('the drawn ids are those of the stored files', async () => {
  const stored = cases.filter(({ file }) => file !== undefined);
  assert.ok(stored.length > 30);
  for (const one of stored)
    assert.deepEqual(Uint8Array.from(draw(one)), new Uint8Array(await readFile(dir + one.file)));
});

test('documents up to 4097 tokens: the answer and its logits, at once and in chunks of 128', async () => {
  const model = await load();
  try {
    const short = ofLength(1, 4097);
    assert.equal(short.length, 47);
    for (const one of short) {
      const ids = draw(one);
      const [whole] = await read(model, [ids], ids.length);
      const [chunked] = await read(model, [ids], 128);
      check(one, whole!);
      assert.deepEqual(chunked, whole, `${named(one)}: other bits in chunks of 128`);
    }
  } finally {
    model.close();
  }
});

for (const [from, to] of [
  [4098, 65_536],
  [100_003, 262_144],
] as const) {
  test(`documents of ${from} to ${to} tokens in chunks of ${chunkTokens}, equal lengths side by side`, async () => {
    const model = await load();
    try {
      const long = ofLength(from, to);
      assert.ok(long.length >= 7);
      for (const group of Map.groupBy(long, ({ length }) => length).values()) {
        const logits = await read(model, group.map(draw), chunkTokens);
        for (const [i, one] of group.entries()) check(one, logits[i]!);
      }
    } finally {
      model.close();
    }
  });
}

test('documents of 2^20 tokens, carried through three model instances by snapshots', async () => {
  // The two whose answer lies farthest back: almost the whole document.
  const group = ofLength(2 ** 20, 2 ** 20)
    .sort((a, b) => b.distance - a.distance)
    .slice(0, 2);
  assert.equal(group.length, 2);
  const documents = group.map(draw);
  const moves = new Set([100 * chunkTokens, 333 * chunkTokens]);
  let model = await load();
  try {
    let sessions = documents.map(() => model.openSession());
    let last: Float32Array[] = [];
    for (let at = 0; at < 2 ** 20; at += chunkTokens) {
      if (moves.has(at)) {
        const snapshots = await Promise.all(sessions.map((session) => session.snapshot()));
        assert.deepEqual(
          snapshots.map(({ position }) => position),
          [at, at],
        );
        model.close();
        model = await load();
        sessions = snapshots.map((snapshot) => model.restoreSession(snapshot));
      }
      last = await step(model, sessions, documents, at, at + chunkTokens, at + chunkTokens === 2 ** 20);
    }
    for (const [i, one] of group.entries()) check(one, last[i]!);
  } finally {
    model.close();
  }
});
