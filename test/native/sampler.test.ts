// The native sampler against the same rules written out in TypeScript.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greedy, type Model, type Sampling, type Session } from '../../native/index.ts';
import { lastLogits, load, someTokens } from './fixture.ts';

/** Philox4x32-10 in BigInt; the engine's own is held to the published known answers by ops_test. */
function uniform(seed: bigint, position: number): number {
  const mask = 0xffffffffn;
  const p = BigInt(position);
  let c = [p & mask, p >> 32n, 0n, 0n];
  let [k0, k1] = [seed & mask, seed >> 32n];
  for (let round = 0; round < 10; round += 1) {
    const a = 0xd2511f53n * c[0]!;
    const b = 0xcd9e8d57n * c[2]!;
    c = [(b >> 32n) ^ c[1]! ^ k0, b & mask, (a >> 32n) ^ c[3]! ^ k1, a & mask];
    k0 = (k0 + 0x9e3779b9n) & mask;
    k1 = (k1 + 0xbb67ae85n) & mask;
  }
  return Number(((c[0]! << 32n) | c[1]!) >> 11n) / 2 ** 53;
}

function reference(logits: Float32Array, s: Sampling): number {
  const z = Float32Array.from(logits);
  for (const [i, id] of s.logitBias.ids.entries()) z[id]! += s.logitBias.biases[i]!;
  for (const id of new Set(s.penalized))
    z[id] = z[id]! > 0 ? z[id]! / s.repetitionPenalty : z[id]! * s.repetitionPenalty;
  const order = [...z.keys()].sort((a, b) => z[b]! - z[a]! || a - b);
  if (s.temperature === 0) return order[0]!;
  const weight = (id: number) => Math.exp((z[id]! - z[order[0]!]!) / s.temperature);
  let kept = order.slice(0, s.topK ?? order.length);
  const total = kept.reduce((sum, id) => sum + weight(id), 0);
  const enough = (s.topP ?? Number.POSITIVE_INFINITY) * total;
  kept = kept.slice(0, reached(kept.map(weight), (sum) => sum >= enough) + 1);
  kept = kept.filter((id) => weight(id) >= (s.minP ?? 0));
  const weights = kept.map(weight);
  const threshold = uniform(s.seed, s.position) * weights.reduce((all, w) => all + w, 0);
  return kept[reached(weights, (sum) => sum > threshold)]!;
}

/** The first index at which the running sum passes, else the last. */
function reached(weights: readonly number[], passes: (sum: number) => boolean): number {
  let sum = 0;
  for (const [i, w] of weights.entries()) {
    sum += w;
    if (passes(sum)) return i;
  }
  return weights.length - 1;
}

async function prepared(model: Model): Promise<{ base: Session; last: Int32Array; logits: Float32Array }> {
  const base = model.openSession();
  await model.step([{ session: base, tokens: someTokens(20, model.info.vocabSize), want: { kind: 'nothing' } }]);
  const last = Int32Array.of(7);
  return { base, last, logits: await lastLogits(model, base.fork(), last) };
}

async function sampleAll(model: Model, base: Session, last: Int32Array, samplings: readonly Sampling[]) {
  const sessions = samplings.map(() => base.fork());
  const results = await model.step(
    samplings.map((sampling, i) => ({
      session: sessions[i]!,
      tokens: last,
      want: { kind: 'sample', sampling, top: 0 },
    })),
  );
  for (const session of sessions) session.close();
  return results.map((result) => (result.kind === 'sample' ? result.token : assert.fail(result.kind)));
}

function bias(...pairs: readonly [number, number][]): Sampling['logitBias'] {
  return { ids: Int32Array.from(pairs, ([id]) => id), biases: Float32Array.from(pairs, ([, by]) => by) };
}

const grids: [string, Partial<Sampling>][] = [
  ['temperature', { temperature: 1 }],
  ['low temperature', { temperature: 0.3 }],
  ['high temperature', { temperature: 5 }],
  ['top-k', { temperature: 2, topK: 5 }],
  ['top-k of one is greedy', { temperature: 2, topK: 1 }],
  ['top-k beyond the vocabulary', { temperature: 2, topK: 1_000_000 }],
  ['top-p', { temperature: 2, topP: 0.7 }],
  ['a tiny top-p keeps one', { temperature: 2, topP: 1e-9 }],
  ['top-k then top-p', { temperature: 3, topK: 40, topP: 0.9 }],
  [
    'repetition penalty, ids unique or not',
    { temperature: 1, repetitionPenalty: 1.7, penalized: Int32Array.of(3, 9, 9, 3, 200) },
  ],
  ['min-p', { temperature: 2, minP: 0.3 }],
  ['min-p of one is greedy', { temperature: 2, minP: 1 }],
  ['min-p of zero keeps all', { temperature: 2, minP: 0 }],
  ['top-k, top-p and min-p, the last the tightest', { temperature: 2, topK: 60, topP: 0.9, minP: 0.5 }],
  ['top-k, top-p and min-p, the first the tightest', { temperature: 2, topK: 3, topP: 0.95, minP: 0.01 }],
  ['logit bias, one id banned and one forced up', { temperature: 1.5, logitBias: bias([7, -100], [200, 3]) }],
  [
    'logit bias, then penalty, which divides what the bias made positive',
    {
      temperature: 1,
      logitBias: bias([3, 8], [9, -8], [255, 2.5]),
      repetitionPenalty: 1.7,
      penalized: Int32Array.of(3, 9),
    },
  ],
  ['greedy with logit bias', { logitBias: bias([11, 100]) }],
  ['greedy with penalty', { repetitionPenalty: 3, penalized: Int32Array.from({ length: 250 }, (_, i) => i) }],
];
for (const [name, change] of grids)
  test(`sampling follows the rules: ${name}`, async (t) => {
    const model = await load(t, 'tiny-f32');
    const { base, last, logits } = await prepared(model);
    const samplings = Array.from(
      { length: 200 },
      (_, i): Sampling => ({
        ...greedy,
        ...change,
        seed: 0xdead_beef_0123_4567n + BigInt(i % 10),
        position: Math.floor(i / 10) * (i % 2 ? 1 : 2 ** 33),
      }),
    );
    assert.deepEqual(
      await sampleAll(model, base, last, samplings),
      samplings.map((sampling) => reference(logits, sampling)),
    );
  });

test('a draw depends on seed and position alone, and its frequencies follow the distribution', async (t) => {
  const model = await load(t, 'tiny-f32');
  const { base, last, logits } = await prepared(model);
  const samplings = Array.from(
    { length: 4000 },
    (_, position): Sampling => ({ ...greedy, temperature: 1, seed: 42n, position }),
  );
  const tokens = await sampleAll(model, base, last, samplings);
  const reversed = await sampleAll(model, base, last, [...samplings].reverse());
  assert.deepEqual(reversed.reverse(), tokens);

  const weights = Float64Array.from(logits, Math.exp);
  const total = weights.reduce((sum, w) => sum + w, 0);
  for (const [id, weight] of weights.entries()) {
    const p = weight / total;
    const count = tokens.filter((token) => token === id).length;
    assert.ok(
      Math.abs(count - 4000 * p) < 5 * Math.sqrt(4000 * p * (1 - p)) + 3,
      `token ${id}: ${count} of ${4000 * p}`,
    );
  }
});

test('among equal logits the lowest id wins', async (t) => {
  const model = await load(t, 'tiny-f32');
  const { base, last, logits } = await prepared(model);
  const top = logits.indexOf(Math.max(...logits));
  // A huge penalty on every positive logit makes them all equal to zero after rounding.
  const penalized = Int32Array.from(logits.keys());
  const [token] = await sampleAll(model, base, last, [{ ...greedy, repetitionPenalty: 3.4e38, penalized }]);
  assert.notEqual(token, undefined);
  const z = Float32Array.from(logits, (x) => (x > 0 ? x / 3.4e38 : x * 3.4e38));
  assert.equal(token, z.indexOf(Math.max(...z)));
  assert.ok(top >= 0);
});
