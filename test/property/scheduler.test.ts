import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadModel, type Sampling, type Session, type StepResult, type Want } from '@longhaul/native';
import fc from 'fast-check';
import { engineOf } from '../../worker/engine/engine.ts';
import type { Engine, Phase } from '../../worker/ports.ts';
import { type Candidate, plan } from '../../worker/scheduler/plan.ts';
import { assertSameAlone, type History, type Reading } from '../support/alone.ts';

const seed = Number(process.env['LONGHAUL_SEED'] ?? Date.now() % 2 ** 31);
const nothing = { kind: 'nothing' } as const;

const candidate: fc.Arbitrary<Candidate> = fc.oneof(
  fc.record({
    phase: fc.constant<Phase>('prefill'),
    left: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 4096 })),
    position: fc.nat(10_000),
    weight: fc.constantFrom(1, 1.5),
  }),
  fc.record({
    phase: fc.constant<Phase>('decode'),
    left: fc.constant(1),
    position: fc.nat(100),
    weight: fc.constant(1),
  }),
);
const limits = fc.record({
  tokens: fc.integer({ min: 16, max: 4096 }),
  work: fc.double({ min: 1, max: 5000, noNaN: true }),
  grain: fc.constantFrom(1, 8, 64),
});

test('a plan has every decode item, some prefill, keeps to its limits, and cuts on the grain', (t) => {
  t.diagnostic(`seed ${seed} (LONGHAUL_SEED)`);
  fc.assert(
    fc.property(fc.array(candidate, { maxLength: 30 }), limits, (candidates, limits) => {
      const pieces = plan(candidates, limits);
      const at = (i: number) => candidates[pieces[i]!.index]!;
      const of = (phase: Phase) => candidates.filter((one) => one.phase === phase).length;
      const decode = pieces.filter((_, i) => at(i).phase === 'decode');
      const prefill = pieces.filter((_, i) => at(i).phase === 'prefill');
      assert.equal(decode.length, of('decode'));
      assert.equal(new Set(pieces.map(({ index }) => index)).size, pieces.length, 'each once');
      assert.ok(prefill.length > 0 || of('prefill') === 0, 'prefill is never left out');
      const first = candidates.findIndex(({ phase }) => phase === 'prefill');
      assert.ok(prefill.length === 0 || prefill[0]!.index === first, 'the first in turn goes first');
      for (const { index, tokens } of pieces) {
        const { left, position } = candidates[index]!;
        assert.ok(tokens >= 1 && tokens <= left);
        assert.ok(tokens === left || (position + tokens) % limits.grain === 0, 'cut on the grain');
        assert.ok(left === 1 || (tokens !== 1 && left - tokens !== 1), 'no piece of one token is made');
      }
      // The first piece of prefill may be what the grain asks for; the others fit.
      const work = (list: typeof pieces) => list.reduce((sum, p) => sum + p.tokens * candidates[p.index]!.weight, 0);
      if (prefill.length > 1 || (prefill[0]?.tokens ?? 0) > limits.grain + 2) {
        assert.ok(work(pieces) <= limits.work + 1e-9);
        assert.ok(pieces.reduce((sum, { tokens }) => sum + tokens, 0) <= limits.tokens);
      }
    }),
    { seed, numRuns: 2000 },
  );
});

interface JobPlan {
  readonly salt: number;
  readonly chunks: readonly { readonly tokens: number; readonly want: 'nothing' | 'logprobs' | 'all' | 'last' }[];
  /** Tokens to generate behind them. */
  readonly output: number;
  /** Turns of the event loop before it starts. */
  readonly delay: number;
}

const job: fc.Arbitrary<JobPlan> = fc.record({
  salt: fc.nat(1 << 20),
  chunks: fc.array(
    fc.record({
      tokens: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 400 })),
      want: fc.constantFrom('nothing', 'logprobs', 'all', 'last'),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  output: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 25 })),
  delay: fc.nat(40),
});

async function runJob(engine: Engine, plan: JobPlan, name: string): Promise<History> {
  for (let i = 0; i < plan.delay; i++) await new Promise((resolve) => setImmediate(resolve));
  const session = engine.openSession();
  const readings: Reading[] = [];
  const read = async (tokens: Int32Array, want: Want, phase: Phase): Promise<StepResult> => {
    const result = engine.step(session, tokens, want, phase);
    readings.push({ tokens, want, result });
    return await result;
  };
  for (const [i, { tokens, want }] of plan.chunks.entries()) {
    const ids = someIds(tokens, plan.salt + i, engine.vocabSize);
    await read(ids, wantOf(want, ids), 'prefill');
  }
  let next = someIds(1, plan.salt, engine.vocabSize);
  for (let position = 0; position < plan.output; position++) {
    const sampling: Sampling = { ...sampled, seed: BigInt(plan.salt), position };
    const result = await read(next, { kind: 'sample', sampling, top: 3 }, position === 0 ? 'prefill' : 'decode');
    next = Int32Array.of(result.kind === 'sample' ? result.token : assert.fail());
  }
  const state = session.snapshot();
  await state;
  session.close();
  return { name, readings, snapshots: [state] };
}

const sampled = {
  temperature: 0.9,
  topK: 50,
  topP: null,
  minP: 0.02,
  logitBias: { ids: Int32Array.of(5), biases: Float32Array.of(2) },
  repetitionPenalty: 1,
  penalized: new Int32Array(0),
};

function wantOf(want: JobPlan['chunks'][number]['want'], ids: Int32Array): Want {
  if (want === 'nothing') return nothing;
  if (want === 'logprobs') return { kind: 'logprobs', targets: ids.map((id, t) => (t % 5 === 0 ? -1 : id)), top: 4 };
  return { kind: 'logits', positions: want };
}

function someIds(count: number, salt: number, vocabSize: number): Int32Array {
  let x = (salt * 2654435761 + 1) >>> 0;
  return Int32Array.from({ length: count }, () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return (x >>> 8) % vocabSize;
  });
}

test('jobs see their chunks read as if alone, whatever the scheduler makes of them', async (t) => {
  t.diagnostic(`seed ${seed} (LONGHAUL_SEED)`);
  const dir = new URL('../fixtures/golden/bias-bf16', import.meta.url).pathname;
  const options = { device: 'cpu', weights: 'as-stored', activations: 'matched', threads: 2, slots: null } as const;
  const [model, alone] = [await loadModel(dir, options), await loadModel(dir, { ...options, threads: 1 })];
  t.after(() => [model, alone].map((one) => one.close()));
  const counts = { cut: 0, shared: 0, steps: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.array(job, { minLength: 1, maxLength: 8 }),
      fc.infiniteStream(fc.nat(160)),
      async (jobs, times) => {
        // Steps that last whatever the generator says: the scheduler cuts accordingly.
        let ms = 0;
        const clock = {
          now: () => {
            ms += times.next().value!;
            return ms;
          },
        };
        const counting = {
          ...face(model),
          step: (items: Parameters<typeof model.step>[0]) => {
            counts.steps++;
            // A piece is a window of its chunk.
            counts.cut += items.filter(({ tokens }) => tokens.byteLength < tokens.buffer.byteLength).length;
            if (items.length > 1) counts.shared++;
            return model.step(items);
          },
        };
        const engine = engineOf(counting, { budgetTokens: 300, clock });
        const histories = await Promise.all(jobs.map((plan, i) => runJob(engine, plan, `job ${i}`)));
        for (const history of histories) await assertSameAlone(alone, history);
      },
    ),
    { seed, numRuns: 40, interruptAfterTimeLimit: 120_000 },
  );
  t.diagnostic(JSON.stringify(counts));
  assert.ok(counts.cut > 50, 'chunks were cut');
  assert.ok(counts.shared > counts.steps / 4, 'steps were shared');
});

function face(model: Awaited<ReturnType<typeof loadModel>>) {
  return {
    info: model.info,
    openSession: (): Session => model.openSession(),
    restoreSession: model.restoreSession.bind(model),
    close: () => {},
  };
}
