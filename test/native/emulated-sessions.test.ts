// Sessions of the CUDA backend on the host (native/backend/cuda/emulator): what travels beside the steps, and what breaks.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { EngineError, greedy, loadModel, type Session, type Snapshot, type StepItem } from '@longhaul/native';
import { jobError } from '../../worker/disposition.ts';
import { sameBits } from '../support/alone.ts';
import { useEmulatedGpu } from '../support/emulated-gpu.ts';
import { golden, someTokens } from './fixture.ts';

await useEmulatedGpu();

const options = { device: 'cuda:0', weights: 'as-stored', activations: 'matched', threads: 1, slots: 24 } as const;
async function load(t: TestContext) {
  const model = await loadModel(golden('odd-dims'), options);
  t.after(() => model.close());
  return model;
}
const nothing = { kind: 'nothing' } as const;

function same(found: Snapshot, expected: Snapshot, what: string): void {
  assert.equal(found.position, expected.position, what);
  sameBits(found.conv, expected.conv, `${what}: conv state`);
  sameBits(found.ssm, expected.ssm, `${what}: ssm state`);
}

test('whatever runs beside them, snapshots, restored sessions and forks have the bits of the session alone', async (t) => {
  const model = await load(t);
  const { vocabSize } = model.info;
  interface Live {
    readonly session: Session;
    readonly readings: Int32Array[];
  }
  const seed = 20_250_101;
  let x = seed;
  const random = (n: number) => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return (x >>> 8) % n;
  };
  const taken: { readonly readings: readonly Int32Array[]; readonly snapshot: Promise<Snapshot> }[] = [];
  const snapshot = ({ session, readings }: Live) =>
    taken.push({ readings: [...readings], snapshot: session.snapshot() });
  let lives: Live[] = Array.from({ length: 4 }, () => ({ session: model.openSession(), readings: [] }));
  for (let round = 0; round < 6; round++) {
    const items: StepItem[] = [];
    for (const live of lives) {
      if (random(4) === 0) continue;
      const tokens = someTokens(random(2) === 0 ? 1 : 2 + random(5), vocabSize, 1 + random(1000));
      items.push({ session: live.session, tokens, want: nothing });
      live.readings.push(tokens);
    }
    const stepping = model.step(items);
    // Beside the step: some of these sessions are in it, and their snapshots come after it.
    for (const live of lives) if (random(4) === 0) snapshot(live);
    await stepping;
    // The next step may begin before these are on the host.
    for (const live of lives) if (random(6) === 0) snapshot(live);
    const from = lives[random(lives.length)]!;
    if (round % 3 === 0) lives.push({ session: from.session.fork(), readings: [...from.readings] });
    if (round % 3 === 1) {
      const { readings, snapshot } = taken[random(taken.length)]!;
      const copy = structuredClone(await snapshot);
      lives.push({ session: model.restoreSession(copy), readings: [...readings] });
      copy.conv.fill(9);
      copy.ssm.fill(9);
    }
    if (round % 3 === 2) {
      // A state that is still on its way when its session is closed, and its slot used again at once.
      const gone = lives[0]!;
      snapshot(gone);
      gone.session.close();
      lives = [...lives.slice(1), { session: model.openSession(), readings: [] }];
    }
  }
  for (const live of lives) snapshot(live);
  for (const { readings, snapshot } of taken) {
    const session = model.openSession();
    for (const tokens of readings) await model.step([{ session, tokens, want: nothing }]);
    same(await snapshot, await session.snapshot(), `seed ${seed}, ${readings.length} readings`);
    session.close();
  }
});

test('more memory than there is: refused at load with the sum and with what is free', async () => {
  process.env['LONGHAUL_EMULATED_MEMORY'] = String(64 << 20);
  try {
    await assert.rejects(loadModel(golden('tiny-f32'), { ...options, slots: 4096 }), (error: unknown) => {
      assert.ok(error instanceof EngineError && error.code === 'out_of_memory', String(error));
      assert.match(
        error.message,
        /weights \d+ MiB .* states \d+ MiB .* workspace \d+ MiB = \d+ MiB on cuda:0, \d+ MiB are free/,
      );
      assert.equal(jobError(error).disposition, 'retry');
      return true;
    });
  } finally {
    delete process.env['LONGHAUL_EMULATED_MEMORY'];
  }
});

// Last: the emulated device of this process stays broken.
test('a device that fails takes the process with it: every later call fails, and the worker calls it fatal', async (t) => {
  const model = await load(t);
  const [session, other] = [model.openSession(), model.openSession()];
  const want = { kind: 'sample', sampling: greedy, top: 0 } as const;
  const step = (one: Session) => model.step([{ session: one, tokens: Int32Array.of(1), want }]);
  await step(session);
  process.env['LONGHAUL_EMULATED_FAULT'] = '1';
  t.after(() => {
    delete process.env['LONGHAUL_EMULATED_FAULT'];
  });
  const fatal = (text: RegExp) => (error: unknown) => {
    assert.ok(error instanceof EngineError && error.code === 'engine_failure', String(error));
    assert.match(error.message, text);
    assert.equal(jobError(error).disposition, 'fatal');
    return true;
  };
  await assert.rejects(step(session), fatal(/an emulated fault/));
  delete process.env['LONGHAUL_EMULATED_FAULT'];
  await assert.rejects(step(session), fatal(/an emulated fault/));
  await assert.rejects(step(other), fatal(/the engine failed earlier: .*an emulated fault/));
  await assert.rejects(other.snapshot(), fatal(/an emulated fault/));
  assert.throws(() => model.openSession(), fatal(/an emulated fault/));
  await assert.rejects(loadModel(golden('odd-dims'), options), fatal(/an emulated fault/));
});
