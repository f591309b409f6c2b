// The most likely tokens of each position, against whole rows of logits, and whatever else is asked of the step.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { greedy, type Model, type StepResult, type Want } from '../../native/index.ts';
import { load } from './fixture.ts';

const seed = Number(process.env['LONGHAUL_SEED'] ?? 5);
type Scored = Extract<StepResult, { kind: 'logprobs' }>;

async function run(model: Model, tokens: Int32Array, want: Want): Promise<StepResult> {
  const session = model.openSession();
  const [result] = await model.step([{ session, tokens, want }]);
  session.close();
  return result!;
}

async function scored(model: Model, tokens: Int32Array, targets: Int32Array, top: number): Promise<Scored> {
  const result = await run(model, tokens, { kind: 'logprobs', targets, top });
  return result.kind === 'logprobs' ? result : assert.fail(result.kind);
}

const plan = (vocabSize: number) =>
  fc
    .array(fc.record({ token: fc.nat(vocabSize - 1), target: fc.integer({ min: -1, max: vocabSize - 1 }) }), {
      minLength: 1,
      maxLength: 60,
      size: 'max',
    })
    .map((rows) => ({
      tokens: Int32Array.from(rows, ({ token }) => token),
      targets: Int32Array.from(rows, ({ target }) => target),
    }));
const tops = (vocabSize: number) => fc.integer({ min: 0, max: Math.min(20, vocabSize) });

for (const name of ['tiny-f32', 'odd-dims', 'bias-bf16']) {
  test(`${name}: the most likely tokens are those of the whole row of logits`, async (t) => {
    t.diagnostic(`seed ${seed} (LONGHAUL_SEED)`);
    const model = await load(t, name);
    const { vocabSize } = model.info;
    await fc.assert(
      fc.asyncProperty(plan(vocabSize), tops(vocabSize), async ({ tokens, targets }, top) => {
        const all = await run(model, tokens, { kind: 'logits', positions: 'all' });
        if (all.kind !== 'logits') assert.fail(all.kind);
        const { logprobs, top: likely } = await scored(model, tokens, targets, top);
        assert.deepEqual([likely.ids.length, likely.logprobs.length], [tokens.length * top, tokens.length * top]);
        for (const [at, target] of targets.entries()) {
          const ids = [...likely.ids.subarray(at * top, (at + 1) * top)];
          const values = [...likely.logprobs.subarray(at * top, (at + 1) * top)];
          if (target < 0) {
            assert.ok(ids.every((id) => id === -1) && [logprobs[at], ...values].every(Number.isNaN));
            continue;
          }
          const z = all.logits.subarray(at * vocabSize, (at + 1) * vocabSize);
          assert.deepEqual(ids, [...z.keys()].sort((a, b) => z[b]! - z[a]! || a - b).slice(0, top));
          const logSum = Math.log(z.reduce((sum, value) => sum + Math.exp(value), 0));
          for (const [i, id] of ids.entries()) {
            assert.ok(Math.abs(values[i]! - (z[id]! - logSum)) < 1e-5, `${values[i]} of id ${id}`);
            if (id === target) assert.equal(values[i], logprobs[at], 'the same number, bit for bit');
          }
        }
      }),
      { seed, numRuns: 60 },
    );
  });
}

test('the entry of a sampled token is its log-probability, whatever bias and filters it was drawn with', async (t) => {
  const model = await load(t, 'tiny-f32');
  t.diagnostic(`seed ${seed} (LONGHAUL_SEED)`);
  let found = 0;
  await fc.assert(
    fc.asyncProperty(plan(model.info.vocabSize), fc.nat(), async ({ tokens }, position) => {
      const logitBias = { ids: Int32Array.of(9), biases: Float32Array.of(2) };
      const sampling = { ...greedy, temperature: 1.5, topK: 20, minP: 0.01, logitBias, position };
      const sample = await run(model, tokens, { kind: 'sample', sampling, top: 20 });
      const targets = new Int32Array(tokens.length).fill(-1);
      if (sample.kind !== 'sample') assert.fail(sample.kind);
      targets[tokens.length - 1] = sample.token;
      const score = await scored(model, tokens, targets, 20);
      assert.deepEqual(sample.top.ids, score.top.ids.subarray(-20));
      assert.deepEqual(sample.top.logprobs, score.top.logprobs.subarray(-20));
      assert.equal(sample.logprob, score.logprobs.at(-1));
      const at = sample.top.ids.indexOf(sample.token);
      if (at < 0) return;
      found++;
      assert.equal(sample.top.logprobs[at], sample.logprob);
    }),
    { seed, numRuns: 60 },
  );
  assert.ok(found > 20, `${found} of 60 samples were among the 20 most likely`);
});

test('a position has the same bits however the tokens are cut and whichever other positions are wanted', async (t) => {
  const model = await load(t, 'odd-dims');
  const { vocabSize } = model.info;
  t.diagnostic(`seed ${seed} (LONGHAUL_SEED)`);
  const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20, size: 'max' });
  await fc.assert(
    fc.asyncProperty(plan(vocabSize), tops(vocabSize), cuts, fc.nat(), async (rows, top, lengths, salt) => {
      const { tokens, targets } = rows;
      const whole = await scored(model, tokens, targets, top);
      const some = targets.map((target, at) => ((at * 7919 + salt) % 3 === 0 ? target : -1));
      const session = model.openSession();
      for (let at = 0, i = 0; at < tokens.length; i++) {
        const end = Math.min(tokens.length, at + (lengths[i % lengths.length] ?? 1));
        const want = { kind: 'logprobs', targets: some.subarray(at, end), top } as const;
        const other = { kind: 'logprobs', targets: targets.subarray(at, end), top: 1 } as const;
        const company = model.openSession();
        const [, part] = await model.step([
          { session: company, tokens: tokens.subarray(at, end), want: other },
          { session, tokens: tokens.subarray(at, end), want },
        ]);
        company.close();
        if (part?.kind !== 'logprobs') assert.fail(part?.kind);
        for (let t = at; t < end; t++) {
          if (some[t]! < 0) continue;
          assert.equal(part.logprobs[t - at], whole.logprobs[t]);
          const row = <T extends Int32Array | Float32Array>(all: T, first: number) =>
            all.subarray((t - first) * top, (t - first + 1) * top);
          assert.deepEqual(row(part.top.ids, at), row(whole.top.ids, 0));
          assert.deepEqual(row(part.top.logprobs, at), row(whole.top.logprobs, 0));
        }
        at = end;
      }
      session.close();
    }),
    { seed, numRuns: 60 },
  );
});
