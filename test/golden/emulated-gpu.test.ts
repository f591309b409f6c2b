// The CUDA backend without a GPU: its own kernels and its own host code, read as C++ (native/backend/cuda/emulator).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { greedy, loadModel, type Model, type ModelOptions, type Session } from '@longhaul/native';
import { useEmulatedGpu } from '../support/emulated-gpu.ts';

await useEmulatedGpu();

const environment: { LONGHAUL_CUBLASLT?: string } = process.env;
const golden = (name: string) => fileURLToPath(new URL(`../fixtures/golden/${name}`, import.meta.url));

const document = (tokens: number, vocab: number) =>
  Int32Array.from({ length: tokens }, (_, i) => (i * 7919 + (i >> 3) * 31 + 13) % vocab);
type Formats = Pick<ModelOptions, 'weights' | 'activations'>;

async function read(model: Model, session: Session, ids: Int32Array, cuts: readonly number[]) {
  let at = 0;
  let logits: Float32Array = new Float32Array();
  for (const cut of [...cuts, ids.length]) {
    const want = { kind: 'logits', positions: 'last' } as const;
    const [result] = await model.step([{ session, tokens: ids.subarray(at, at + cut), want }]);
    assert.ok(result?.kind === 'logits');
    logits = result.logits;
    at += cut;
    if (at >= ids.length) break;
  }
  return { logits, state: await session.snapshot() };
}

function farthest(found: Float32Array, expected: Float32Array): number {
  assert.equal(found.length, expected.length);
  let most = 0;
  for (let i = 0; i < found.length; i++) {
    // NaN stays.
    most = Math.max(most, Math.abs(found[i]! - expected[i]!));
  }
  return most;
}

// The goldens themselves are held against every model in f32 by gpu_check (test/native/gpu-check.test.ts).
// What the formats' own rounding costs these small models, several times over; a wrong index costs whole units.
// own: large products by the engine's own kernel, as where cuBLASLt is not found.
const cases: readonly [string, Formats, number, 'own'?][] = [
  ['stress', { weights: 'as-stored', activations: 'f32' }, 3e-4],
  ['tiny-bf16', { weights: 'as-stored', activations: 'matched' }, 0.2],
  ['odd-dims', { weights: 'as-stored', activations: 'matched' }, 0.3],
  ['odd-dims', { weights: 'as-stored', activations: 'matched' }, 0.3, 'own'],
  ['tiny-f32', { weights: 'int8', activations: 'matched' }, 0.6],
  ['tiny-bf16', { weights: 'nf4', activations: 'matched' }, 0.9],
  ['odd-dims', { weights: 'nf4', activations: 'matched' }, 0.9, 'own'],
  ['odd-dims', { weights: 'fp8', activations: 'f32' }, 3e-5],
  ['tiny-f32', { weights: 'fp8', activations: 'matched' }, 0.9],
];

for (const [name, formats, tolerance, own] of cases)
  test(`${name}, ${formats.weights}, ${formats.activations}${own ? ', own products' : ''}: as the CPU, and the same bits however it is cut and shared`, async (t) => {
    const load = async (device: ModelOptions['device']) => {
      const model = await loadModel(golden(name), { device, threads: 2, slots: 64, ...formats });
      t.after(() => model.close());
      return model;
    };
    if (own) environment.LONGHAUL_CUBLASLT = 'none';
    else delete environment.LONGHAUL_CUBLASLT;
    const [cpu, gpu] = [await load('cpu'), await load('cuda:0')];
    assert.equal(gpu.info.device, 'cuda:0');
    assert.equal(gpu.info.products, formats.activations === 'f32' ? null : (own ?? 'emulated'));
    assert.equal(cpu.info.products, null);
    const ids = document(90, cpu.info.vocabSize);
    const expected = await read(cpu, cpu.openSession(), ids, []);
    const whole = await read(gpu, gpu.openSession(), ids, []);
    t.diagnostic(
      `logits ${farthest(whole.logits, expected.logits)}, ssm ${farthest(whole.state.ssm, expected.state.ssm)}`,
    );
    assert.ok(farthest(whole.logits, expected.logits) <= tolerance);
    assert.ok(farthest(whole.state.ssm, expected.state.ssm) <= tolerance);
    assert.ok(farthest(whole.state.conv, expected.state.conv) <= tolerance);

    for (const cuts of [
      [64, 2],
      [3, 70, 7],
    ]) {
      const session = gpu.openSession();
      assert.deepEqual(await read(gpu, session, ids, cuts), whole, `cut at ${cuts}`);
      session.close();
    }

    // Decode: alone, then with others that read and decode in the same steps, from a restored state.
    const decode = async (beside: number) => {
      const session = gpu.restoreSession(whole.state);
      const others = Array.from({ length: beside }, () => gpu.openSession());
      const taken: number[] = [];
      for (let i = 0; i < 3; i++) {
        const want = { kind: 'sample', sampling: greedy, top: 3 } as const;
        const items = others.map((other, j) => ({
          session: other,
          tokens: j % 3 ? Int32Array.of(j + i) : ids.subarray(j, j + 5),
          want: { kind: 'nothing' } as const,
        }));
        const results = await gpu.step([...items, { session, tokens: Int32Array.of(ids[i]!), want }]);
        const mine = results.at(-1)!;
        assert.ok(mine.kind === 'sample');
        taken.push(mine.token, mine.logprob, ...mine.top.logprobs);
      }
      const state = await session.snapshot();
      for (const one of [session, ...others]) one.close();
      return { taken, state };
    };
    const alone = await decode(0);
    // 3, 8 and 33 rows of decode.
    for (const beside of [3, 11, 48]) assert.deepEqual(await decode(beside), alone, `beside ${beside} others`);
  });

test('one session more than there are slots is refused; a closed one makes room', async (t) => {
  const options = { device: 'cuda:0', weights: 'as-stored', activations: 'f32', threads: 1, slots: 3 } as const;
  const model = await loadModel(golden('tied-minimal'), options);
  t.after(() => model.close());
  const sessions = [model.openSession(), model.openSession(), model.openSession()];
  const refused = { code: 'out_of_memory', message: /all 3 states .* in use/ };
  assert.throws(() => model.openSession(), refused);
  assert.throws(() => sessions[0]!.fork(), refused);
  sessions[1]!.close();
  await sessions[0]!.snapshot();
  model.openSession();
});
