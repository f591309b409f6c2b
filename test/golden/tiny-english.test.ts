import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, test } from 'node:test';
import { greedy, loadModel, type Model } from '@longhaul/native';
import { z } from 'zod';
import { feed, withSession } from '../../scripts/golden/cases/context.ts';
import { argmax } from '../../scripts/golden/reference/engine.ts';

/**
 * The goldens are transformers' f32 run, rounded to five decimals; there is no f64 oracle. Over 5,000 tokens another f32
 * implementation stood 1.9e-5 from it, and its own chunked run 2.5e-5 from its one pass: that is this model's noise, and
 * the same factor of 4 applies as for the small models.
 */
const logitTolerance = 1e-4;
/** A log-probability is a logit less a log-sum of logits, so a mean of them is off by twice a logit's error at most. */
const meanNllTolerance = 2 * 2.5e-5;

const fixtures = new URL('../fixtures/tiny-english/', import.meta.url);
const json = async (name: string) => JSON.parse(await readFile(new URL(name, fixtures), 'utf8'));
const Top = z.array(z.object({ id: z.number(), logit: z.number() })).length(5);
const Cases = z.object({
  cases: z.array(
    z.looseObject({
      name: z.string(),
      ids: z.array(z.number()),
      mean_nll_nats: z.number(),
      predicted_tokens: z.number(),
      greedy_64_ids: z.array(z.number()).length(64),
      last_top5: Top,
    }),
  ),
});
const Long = z.object({
  mean_nll_nats: z.number(),
  mean_nll_nats_of_first: z.record(z.string(), z.number()),
  last_top5: Top,
  logit_at: z.array(
    z.object({ position: z.number(), argmax: z.number(), max_logit: z.number(), logsumexp: z.number() }),
  ),
  ids: z.string(),
  source: z.string(),
});

const { cases } = Cases.parse(await json('golden.json'));
const long = Long.parse(await json('golden-long.json'));
const longIds = Int32Array.from([256, ...(await readFile(new URL('golden-long.txt', fixtures)))]);

const dir = new URL('../../models/tiny-english', import.meta.url).pathname;
const model: Model = await loadModel(dir, {
  device: 'cpu',
  weights: 'as-stored',
  activations: 'f32',
  threads: 2,
  slots: null,
});
after(() => model.close());
const vocab = model.info.vocabSize;

const near = (actual: number, expected: number, tolerance: number, what: string) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${what}: ${actual}, expected ${expected} ± ${tolerance}`);
const meanNll = (logprobs: Float32Array, tokens: number) =>
  -Float64Array.from(logprobs.subarray(0, tokens)).reduce((sum, value) => sum + value, 0) / tokens;
const scoreAll = (ids: Int32Array) =>
  withSession(model.openSession(), async (session) => {
    const targets = new Int32Array([...ids.subarray(1), -1]);
    return (await feed(model, session, ids, { kind: 'logprobs', targets, top: 0 })).logprobs;
  });

function checkTop(logits: Float32Array, top: z.infer<typeof Top>, what: string): void {
  const ranked = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!).slice(0, 5);
  assert.deepEqual(
    ranked,
    top.map(({ id }) => id),
    `${what}: the five most likely ids`,
  );
  for (const { id, logit } of top) near(logits[id]!, logit, logitTolerance, `${what}: logit of ${id}`);
}

for (const one of cases) {
  test(`${one.name}: likelihood, last logits and 64 greedy tokens`, async () => {
    const ids = Int32Array.from(one.ids);
    near(meanNll(await scoreAll(ids), one.predicted_tokens), one.mean_nll_nats, meanNllTolerance, 'mean nll');
    await withSession(model.openSession(), async (session) => {
      const { logits } = await feed(model, session, ids, { kind: 'logits', positions: 'last' });
      checkTop(logits, one.last_top5, one.name);
      const tokens = [argmax(logits)];
      while (tokens.length < 64) {
        const want = { kind: 'sample', sampling: { ...greedy, position: tokens.length }, top: 0 } as const;
        tokens.push((await feed(model, session, Int32Array.of(tokens.at(-1)!), want)).token);
      }
      // The smallest lead on the way is 0.004, forty times the tolerance of a logit: the tokens must be equal.
      assert.deepEqual(tokens, one.greedy_64_ids);
    });
  });
}

test('5,000 tokens in one pass: likelihood of the prefixes', async () => {
  const logprobs = await scoreAll(longIds);
  near(meanNll(logprobs, longIds.length - 1), long.mean_nll_nats, meanNllTolerance, 'mean nll');
  for (const [tokens, expected] of Object.entries(long.mean_nll_nats_of_first)) {
    near(meanNll(logprobs, Number(tokens)), expected, meanNllTolerance, `mean nll of the first ${tokens}`);
  }
});

for (const chunk of [longIds.length, 256]) {
  test(`5,000 tokens in chunks of ${chunk}: logits at the stored positions`, async () => {
    await withSession(model.openSession(), async (session) => {
      for (let at = 0; at < longIds.length; at += chunk) {
        const tokens = longIds.subarray(at, at + chunk);
        const { logits } = await feed(model, session, tokens, { kind: 'logits', positions: 'all' });
        for (const one of long.logit_at) {
          if (one.position < at || one.position >= at + tokens.length) continue;
          const row = logits.subarray((one.position - at) * vocab, (one.position - at + 1) * vocab);
          const what = `position ${one.position}`;
          const best = argmax(row);
          assert.equal(best, one.argmax, what);
          near(row[best]!, one.max_logit, logitTolerance, `${what}: largest logit`);
          const sum = Float64Array.from(row).reduce((total, z) => total + Math.exp(z), 0);
          near(Math.log(sum), one.logsumexp, logitTolerance, `${what}: log-sum`);
        }
        if (at + tokens.length === longIds.length) checkTop(logits.subarray(-vocab), long.last_top5, 'the end');
      }
    });
  });
}
