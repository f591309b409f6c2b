// Frequencies of many draws against the exact distribution of each filter and of their combinations, and independence
// from one output position to the next. False alarms are rarer than one in a million; every seed is fixed and printed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greedy, type Model, type Sampling } from '../../native/index.ts';
import { lastLogits, load, someTokens } from './fixture.ts';

const seed = BigInt(process.env['LONGHAUL_SEED'] ?? 20_260_731);
const draws = 12_000;
/** A standard normal exceeds it once in ten million. */
const alarm = 5.2;
const read = 20;

async function logitsOf(model: Model): Promise<Float32Array> {
  return lastLogits(model, model.openSession(), someTokens(read, model.info.vocabSize));
}

async function draw(model: Model, sampling: Sampling, positions: number): Promise<number[]> {
  const base = model.openSession();
  const tokens = someTokens(read, model.info.vocabSize);
  await model.step([{ session: base, tokens: tokens.subarray(0, -1), want: { kind: 'nothing' } }]);
  const drawn: number[] = [];
  while (drawn.length < positions) {
    const sessions = Array.from({ length: Math.min(2000, positions - drawn.length) }, () => base.fork());
    const results = await model.step(
      sessions.map((session, i) => ({
        session,
        tokens: tokens.subarray(-1),
        want: { kind: 'sample', sampling: { ...sampling, position: drawn.length + i }, top: 0 },
      })),
    );
    for (const session of sessions) session.close();
    drawn.push(...results.map((result) => (result.kind === 'sample' ? result.token : assert.fail(result.kind))));
  }
  base.close();
  return drawn;
}

type Rules = Pick<Sampling, 'temperature' | 'topK' | 'topP' | 'minP' | 'logitBias' | 'repetitionPenalty' | 'penalized'>;

/** The probabilities that the rules leave, in double precision. */
function exact(logits: Float32Array, rules: Rules): Float64Array {
  const z = Float64Array.from(logits);
  for (const [i, id] of rules.logitBias.ids.entries()) z[id]! += rules.logitBias.biases[i]!;
  for (const id of new Set(rules.penalized))
    z[id]! *= z[id]! > 0 ? 1 / rules.repetitionPenalty : rules.repetitionPenalty;
  const best = Math.max(...z);
  const p = normalized(z.map((value) => Math.exp((value - best) / rules.temperature)));
  const order = [...p.keys()].sort((a, b) => p[b]! - p[a]! || a - b);
  const cut = (from: number) => {
    for (const id of order.slice(from)) p[id] = 0;
    p.set(normalized(p));
  };
  if (rules.topK !== null) cut(rules.topK);
  if (rules.topP !== null) {
    let mass = 0;
    let kept = 0;
    while (kept < order.length && mass < rules.topP) mass += p[order[kept++]!]!;
    cut(kept);
  }
  if (rules.minP !== null) {
    const least = rules.minP * p[order[0]!]!;
    cut(order.filter((id) => p[id]! > 0 && p[id]! >= least).length);
  }
  return p;
}

function normalized(weights: Float64Array): Float64Array {
  const total = weights.reduce((sum, w) => sum + w, 0);
  return weights.map((w) => w / total);
}

/** How far counts are from probabilities, as a standard normal: G-test, by Wilson and Hilferty. */
function deviation(counts: readonly number[], probabilities: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (counts.some((count, i) => count > 0 && probabilities[i] === 0)) return Number.POSITIVE_INFINITY;
  // Rare values share a bin: the test needs expectations of some size.
  const bins: { count: number; expected: number }[] = [{ count: 0, expected: 0 }];
  for (const i of [...counts.keys()].sort((a, b) => probabilities[a]! - probabilities[b]!)) {
    if (bins.at(-1)!.expected >= 10) bins.push({ count: 0, expected: 0 });
    bins.at(-1)!.count += counts[i]!;
    bins.at(-1)!.expected += total * probabilities[i]!;
  }
  if (bins.length < 2) return 0;
  const g = bins.reduce(
    (sum, { count, expected }) => sum + (count > 0 ? 2 * count * Math.log(count / expected) : 0),
    0,
  );
  const spread = 2 / (9 * (bins.length - 1));
  return (Math.cbrt(g / (bins.length - 1)) - (1 - spread)) / Math.sqrt(spread);
}

const counted = (tokens: readonly number[], vocabSize: number) => {
  const counts = new Array<number>(vocabSize).fill(0);
  for (const token of tokens) counts[token]!++;
  return counts;
};

const bias = (...pairs: readonly [number, number][]): Sampling['logitBias'] => ({
  ids: Int32Array.from(pairs, ([id]) => id),
  biases: Float32Array.from(pairs, ([, by]) => by),
});
const many = Int32Array.from({ length: 128 }, (_, i) => 2 * i);

/** Rules, and a wrong reading of them that the test must tell from the right one. */
const settings: readonly [name: string, right: Partial<Rules>, wrong: Partial<Rules>][] = [
  ['temperature', { temperature: 1 }, { temperature: 1.1 }],
  ['top-k', { temperature: 1.5, topK: 12 }, { topK: 11 }],
  ['top-p', { temperature: 1.5, topP: 0.6 }, { topP: 0.57 }],
  ['min-p', { temperature: 1.5, minP: 0.2 }, { minP: 0.25 }],
  [
    'logit bias',
    { temperature: 1, logitBias: bias([201, 1], [119, -100]) },
    { logitBias: bias([201, 0.7], [119, -100]) },
  ],
  ['repetition penalty', { temperature: 1, repetitionPenalty: 1.4, penalized: many }, { repetitionPenalty: 1.2 }],
  ['top-k and top-p', { temperature: 1.5, topK: 40, topP: 0.7 }, { topK: null }],
  ['top-k and min-p', { temperature: 2, topK: 30, minP: 0.4 }, { minP: null }],
  ['top-p and min-p', { temperature: 2, topP: 0.6, minP: 0.4 }, { minP: null }],
  [
    'everything',
    {
      ...{ temperature: 1.3, topK: 50, topP: 0.8, minP: 0.05 },
      ...{ logitBias: bias([201, 1], [233, -1]), repetitionPenalty: 1.2, penalized: many },
    },
    { logitBias: bias([201, 1.4], [233, -1.4]) },
  ],
];

for (const [index, [name, right, wrong]] of settings.entries())
  test(`draws follow the exact distribution: ${name}`, async (t) => {
    const model = await load(t, 'tiny-f32');
    const own = seed + BigInt(index);
    t.diagnostic(`seed ${own} (LONGHAUL_SEED), ${draws} draws`);
    const rules = { ...greedy, ...right };
    const logits = await logitsOf(model);
    const counts = counted(await draw(model, { ...rules, seed: own }, draws), model.info.vocabSize);
    const off = deviation(counts, [...exact(logits, rules)]);
    t.diagnostic(`${off.toFixed(2)} deviations; alarm at ${alarm}`);
    assert.ok(off < alarm, `${off} deviations from the distribution`);
    const offWrong = deviation(counts, [...exact(logits, { ...rules, ...wrong })]);
    t.diagnostic(`${offWrong.toFixed(2)} from the wrong one`);
    assert.ok(offWrong > alarm, `only ${offWrong} deviations from a wrong distribution: the test sees nothing`);
  });

test('a draw says nothing of the next positions, nor of neighbouring seeds', async (t) => {
  const model = await load(t, 'tiny-f32');
  t.diagnostic(`seed ${seed} (LONGHAUL_SEED)`);
  const sampling = { ...greedy, temperature: 1.5 };
  const p = exact(await logitsOf(model), sampling);
  // Eight classes of about the same probability.
  let mass = 0;
  const classOf = [...p].map((one) => {
    mass += one;
    return Math.min(7, Math.floor((mass - one / 2) * 8));
  });
  const share = Array.from({ length: 8 }, (_, c) => p.reduce((sum, one, id) => sum + (classOf[id] === c ? one : 0), 0));
  const pairs = share.flatMap((a) => share.map((b) => a * b));
  const classes = async (key: bigint) =>
    (await draw(model, { ...sampling, seed: key }, draws)).map((token) => classOf[token]!);
  const check = (a: readonly number[], b: readonly number[], what: string) => {
    const counts = new Array<number>(64).fill(0);
    for (const [i, one] of b.entries()) counts[a[i]! * 8 + one]!++;
    const off = deviation(counts, pairs);
    t.diagnostic(`${what}: ${off.toFixed(2)} deviations`);
    return off;
  };
  const first = await classes(seed);
  // Pairs that share no draw.
  const lag = (by: number) => {
    const at = [...first.keys()].filter((i) => i % (2 * by) < by && i + by < first.length);
    return [at.map((i) => first[i]!), at.map((i) => first[i + by]!)] as const;
  };
  for (const by of [1, 2, 3, 64]) assert.ok(check(...lag(by), `positions ${by} apart`) < alarm);
  for (const key of [seed + 1n, seed ^ (1n << 32n)]) assert.ok(check(first, await classes(key), `seed ${key}`) < alarm);
  const sticky = first.map((one, i) => (i % 20 === 0 ? first[i]! : one));
  assert.ok(check(first, sticky, 'the same draws, which the test must see') > alarm);
  const weak = first.map((_, i) => (i % 10 === 0 ? first[i]! : first[(i + 1) % first.length]!));
  assert.ok(check(first, weak, 'one draw of ten repeated, which the test must see') > alarm);
});
