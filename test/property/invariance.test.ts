import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadModel, type Model, type Sampling, type Session, type Snapshot, type StepItem } from '@longhaul/native';
import fc from 'fast-check';

/**
 * The state after N tokens, every row of logits and every sampled token have the same bits however the tokens are cut
 * into steps, whichever sessions share the steps, on however many threads, and through snapshot, restore and fork.
 */
const seed = Number(process.env['LONGHAUL_SEED'] ?? Date.now() % 2 ** 31);
const threadCounts = [1, 2, 3];
const small = ['tiny-f32', 'odd-dims', 'bias-bf16', 'noconvbias-f16'];
const fixture = (name: string) => new URL(`../fixtures/golden/${name}`, import.meta.url).pathname;
const tinyEnglish = new URL('../../models/tiny-english', import.meta.url).pathname;

/** One model on each number of threads, closed again whatever happens. */
async function withModels<T>(dir: string, body: (models: readonly Model[]) => Promise<T>): Promise<T> {
  const models: Model[] = [];
  try {
    for (const threads of threadCounts)
      models.push(
        await loadModel(dir, { device: 'cpu', weights: 'as-stored', activations: 'f32', threads, slots: null }),
      );
    return await body(models);
  } finally {
    for (const model of models) model.close();
  }
}

type Move = 'stay' | 'restore' | 'other threads' | 'fork';

/** How one document is read: step by step, each with what happens to the session before it and who shares it. */
interface Cut {
  readonly tokens: number;
  readonly move: Move;
  readonly before: readonly Int32Array[];
  readonly behind: readonly Int32Array[];
}

interface Outcome {
  readonly logits: Float32Array;
  readonly state: Snapshot;
}

const allLogits = { kind: 'logits', positions: 'all' } as const;
const steady = (tokens: number): Cut => ({ tokens, move: 'stay', before: [], behind: [] });

/** Reads the document as cut; the last cut takes the rest. `tamper` changes a snapshot on its way to a restore. */
async function read(
  models: readonly Model[],
  ids: Int32Array,
  cuts: readonly Cut[],
  tamper: (snapshot: Snapshot) => Snapshot = (snapshot) => snapshot,
): Promise<Outcome> {
  let at = 0;
  let on = 0;
  let session = models[on]!.openSession();
  const parts: Float32Array[] = [];
  for (let i = 0; at < ids.length; i++) {
    const cut = cuts[i] ?? steady(ids.length);
    const moved = await move(models, on, session, cut.move, tamper);
    [on, session] = [moved.on, moved.session];
    const end = Math.min(at + cut.tokens, ids.length);
    const tokens = ids.subarray(at, end);
    parts.push(await stepTogether(models[on]!, { session, tokens, want: allLogits }, cut));
    at = end;
  }
  const state = await session.snapshot();
  session.close();
  assert.equal(state.position, ids.length);
  return { logits: join(parts), state };
}

async function move(
  models: readonly Model[],
  on: number,
  session: Session,
  how: Move,
  tamper: (snapshot: Snapshot) => Snapshot,
): Promise<{ on: number; session: Session }> {
  if (how === 'stay') return { on, session };
  const next = how === 'other threads' ? (on + 1) % models.length : on;
  const moved = how === 'fork' ? session.fork() : models[next]!.restoreSession(tamper(await session.snapshot()));
  if (how === 'fork') {
    // The origin goes on by itself: a fork that shared its memory would see it.
    await models[on]!.step([{ session, tokens: Int32Array.of(1, 2, 3), want: { kind: 'nothing' } }]);
  }
  session.close();
  return { on: next, session: moved };
}

/** One step of the subject among others; each of the others must give what it gives alone. */
async function stepTogether(model: Model, subject: StepItem, { before, behind }: Cut): Promise<Float32Array> {
  const others = [...before, ...behind].map((tokens) => ({ session: model.openSession(), tokens, want: allLogits }));
  const items = [...others.slice(0, before.length), subject, ...others.slice(before.length)];
  const results = (await model.step(items)).map((result) => (result.kind === 'logits' ? result.logits : assert.fail()));
  for (const [i, item] of items.entries()) {
    if (item === subject) continue;
    item.session.close();
    const alone = model.openSession();
    const [result] = await model.step([{ session: alone, tokens: item.tokens, want: allLogits }]);
    alone.close();
    sameBits(results[i]!, result?.kind === 'logits' ? result.logits : assert.fail(), 'a session that shared the step');
  }
  return results[before.length]!;
}

function join(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const bits = (values: Float32Array) => Buffer.from(values.buffer, values.byteOffset, values.byteLength);
const equalBits = (a: Float32Array, b: Float32Array) => bits(a).equals(bits(b));

function sameBits(found: Float32Array, expected: Float32Array, what: string): void {
  if (equalBits(found, expected)) return;
  const first = found.findIndex((value, i) => !Object.is(value, expected[i]));
  assert.fail(`${what}: other bits from value ${first} on: ${found[first]}, expected ${expected[first]}`);
}

function same(found: Outcome, expected: Outcome, what: string): void {
  sameBits(found.state.conv, expected.state.conv, `${what}: conv state`);
  sameBits(found.state.ssm, expected.state.ssm, `${what}: ssm state`);
  sameBits(found.logits, expected.logits, `${what}: logits`);
}

const ids = (vocab: number, minLength: number, maxLength: number) =>
  fc
    .array(fc.integer({ min: 0, max: vocab - 1 }), { minLength, maxLength, size: 'max' })
    .map((tokens) => Int32Array.from(tokens));

function cutsOf(model: Model): fc.Arbitrary<Cut[]> {
  const sizes = fc.oneof(
    fc.constantFrom(1, 2, 3, model.info.dConv - 1, model.info.dConv, model.info.dConv + 1, 5, 7, 13, 31, 61, 127, 2048),
    fc.integer({ min: 1, max: 200 }),
  );
  const others = fc.array(ids(model.info.vocabSize, 1, 40), { maxLength: 3 });
  const cut = fc.record({
    tokens: sizes,
    move: fc.constantFrom<Move>('stay', 'stay', 'restore', 'other threads', 'fork'),
    before: others,
    behind: others,
  });
  return fc.array(cut, { minLength: 1, maxLength: 12, size: 'max' });
}

for (const name of small) {
  test(`${name}: random cuts, companions, threads, restores and forks give the same bits`, async (t) => {
    t.diagnostic(`seed ${seed} (LONGHAUL_SEED)`);
    await withModels(fixture(name), async (models) => {
      const [model] = models;
      await fc.assert(
        fc.asyncProperty(ids(model!.info.vocabSize, 1, 400), cutsOf(model!), async (document, cuts) => {
          same(await read(models, document, cuts), await read(models, document, []), 'cut against whole');
        }),
        { seed, numRuns: 100 },
      );
    });
  });
}

for (const dir of [...small.map(fixture), tinyEnglish]) {
  test(`${dir.split('/').at(-1)}: a longer document in equal chunks of every kind, on every thread count`, async (t) => {
    t.diagnostic(`seed ${seed} (LONGHAUL_SEED)`);
    await withModels(dir, async (models) => {
      const { vocabSize, dConv } = models[0]!.info;
      const length = dir === tinyEnglish ? 600 : 2500;
      const [document] = fc.sample(ids(vocabSize, length, length), { seed, numRuns: 1 });
      const whole = await read(models, document!, []);
      const sizes = new Set([1, 2, 3, dConv, 7, 31, 64, 127, 257, 1024, 2048, 2049, length]);
      for (const [i, model] of models.entries()) {
        for (const size of sizes) {
          // Single tokens are slow; the thread count in turn is enough there.
          if (size === 1 && i !== seed % models.length) continue;
          const cuts = Array.from({ length: Math.ceil(length / size) }, () => steady(size));
          same(await read([model], document!, cuts), whole, `chunks of ${size} on ${threadCounts[i]} threads`);
        }
      }
    });
  });
}

const samplingOf: fc.Arbitrary<Omit<Sampling, 'penalized' | 'position'>> = fc.record({
  temperature: fc.constantFrom(0, 0.5, 1, 3),
  topK: fc.option(fc.integer({ min: 1, max: 100 })),
  topP: fc.option(fc.double({ min: 0.1, max: 1, noNaN: true })),
  minP: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
  logitBias: fc.constantFrom(
    { ids: new Int32Array(0), biases: new Float32Array(0) },
    { ids: Int32Array.of(3, 0, 50), biases: Float32Array.of(4, -100, 0.5) },
  ),
  repetitionPenalty: fc.constantFrom(1, 1.3),
  seed: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
});

/** Generates tokens one by one; before each, the session may move and others may join the step. */
async function generate(
  models: readonly Model[],
  prompt: Int32Array,
  options: Omit<Sampling, 'penalized' | 'position'>,
  cuts: readonly Cut[],
): Promise<{ tokens: number[]; logprobs: number[] }> {
  let on = 0;
  let session = models[0]!.openSession();
  let next = prompt;
  const tokens: number[] = [];
  const logprobs: number[] = [];
  for (let position = 0; position < 12; position++) {
    const { move: how, before, behind } = cuts[position] ?? steady(1);
    const moved = await move(models, on, session, how, (snapshot) => snapshot);
    [on, session] = [moved.on, moved.session];
    const model = models[on]!;
    const sampling = { ...options, position, penalized: Int32Array.from(tokens) };
    const other = (ids: Int32Array): StepItem => ({ session: model.openSession(), tokens: ids, want: allLogits });
    const items: StepItem[] = [
      ...before.map(other),
      { session, tokens: next, want: { kind: 'sample', sampling, top: 0 } },
      ...behind.map(other),
    ];
    const result = (await model.step(items))[before.length];
    for (const item of items) if (item.session !== session) item.session.close();
    if (result?.kind !== 'sample') assert.fail(`no sample but ${result?.kind}`);
    tokens.push(result.token);
    logprobs.push(result.logprob);
    next = Int32Array.of(result.token);
  }
  session.close();
  return { tokens, logprobs };
}

for (const name of small) {
  test(`${name}: sampled tokens and their log-probabilities are the same in any company`, async (t) => {
    t.diagnostic(`seed ${seed} (LONGHAUL_SEED)`);
    await withModels(fixture(name), async (models) => {
      const { vocabSize } = models[0]!.info;
      await fc.assert(
        fc.asyncProperty(ids(vocabSize, 1, 60), samplingOf, cutsOf(models[0]!), async (prompt, options, cuts) => {
          const expected = await generate(models, prompt, options, []);
          assert.deepEqual(await generate(models, prompt, options, cuts), expected);
        }),
        { seed, numRuns: 40 },
      );
    });
  });
}

test('the comparison sees one changed token, one flipped state bit and a lost conv column', async () => {
  await withModels(fixture('tiny-f32'), async (models) => {
    const { vocabSize } = models[0]!.info;
    const [document] = fc.sample(ids(vocabSize, 50, 50), { seed, numRuns: 1 });
    const whole = await read(models, document!, []);
    const differs = (found: Outcome) => {
      assert.throws(() => same(found, whole, 'tampered'), /other bits/);
      assert.ok(!equalBits(found.logits, whole.logits), 'the logits differ too');
    };
    const changed = document!.with(47, (document![47]! + 1) % vocabSize);
    differs(await read(models, changed, []));

    const restoreAt30: Cut[] = [steady(30), { ...steady(20), move: 'restore' }];
    same(await read(models, document!, restoreAt30), whole, 'untampered');
    const flipped = (values: Float32Array) => {
      const copy = values.slice();
      // The largest value weighs most; its lowest exponent bit doubles or halves it.
      const at = copy.reduce((best, value, i) => (Math.abs(value) > Math.abs(copy[best]!) ? i : best), 0);
      new Uint32Array(copy.buffer)[at]! ^= 1 << 23;
      return copy;
    };
    differs(await read(models, document!, restoreAt30, (one) => ({ ...one, ssm: flipped(one.ssm) })));
    differs(await read(models, document!, restoreAt30, (one) => ({ ...one, conv: new Float32Array(one.conv.length) })));
  });
});
