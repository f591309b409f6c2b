// Sessions: who may do what when, and that a refusal changes nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import {
  type CpuIsa,
  EngineError,
  type EngineErrorCode,
  greedy,
  loadModel,
  probeEngine,
  type Snapshot,
  type Want,
} from '../../native/index.ts';
import { loadModelWith } from '../../native/internal.ts';
import { cpu, golden, lastLogits, load, someTokens } from './fixture.ts';

const nothing: Want = { kind: 'nothing' };
const is =
  (code: EngineErrorCode, text = /./) =>
  (error: unknown) => {
    assert.ok(error instanceof EngineError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    return true;
  };

test('the probe says what this machine has', async () => {
  const probe = await probeEngine();
  assert.match(probe.isa, /^(avx512(bf16|vnni)?|avx2|portable)$/);
  assert.ok(probe.cores >= 1);
  assert.match(probe.cuda, /^(not built: nvcc was not found|no GPU\b.*|.+ \(sm_\d+, \d+ MiB\))$/);
});

test('a session in an unfinished step is busy; its snapshot waits for the step', async (t) => {
  const model = await load(t, 'tiny-f32');
  const session = model.openSession();
  const tokens = someTokens(700, model.info.vocabSize);
  const running = model.step([{ session, tokens, want: nothing }]);
  const snapshot = session.snapshot();
  await assert.rejects(model.step([{ session, tokens, want: nothing }]), is('session_busy', /item 0/));
  assert.throws(() => session.fork(), is('session_busy'));
  await running;
  assert.equal((await snapshot).position, 700);
  assert.equal(session.position, 700);
  const twice = { session, tokens, want: nothing };
  await assert.rejects(model.step([twice, twice]), is('session_busy', /item 1/));
  assert.equal(session.position, 700);
});

test('a bad item refuses the whole step before any session changes', async (t) => {
  const model = await load(t, 'tiny-f32');
  const good = model.openSession();
  const bad = model.openSession();
  const before = await good.snapshot();
  const tokens = Int32Array.of(1, 2, 3);
  const refuse = (item: { tokens: Int32Array; want: Want }, code: EngineErrorCode, text: RegExp) =>
    assert.rejects(
      model.step([
        { session: good, tokens, want: nothing },
        { session: bad, ...item },
      ]),
      is(code, text),
    );
  const sample = (change: object): Want => ({ kind: 'sample', sampling: { ...greedy, ...change }, top: 0 });

  await refuse(
    { tokens: Int32Array.of(0, 256), want: nothing },
    'token_out_of_range',
    /item 1: tokens\[1\].*\[0, 256\), found 256/,
  );
  await refuse({ tokens: Int32Array.of(-1), want: nothing }, 'token_out_of_range', /found -1/);
  await refuse({ tokens: new Int32Array(), want: nothing }, 'invalid_argument', /at least one/);
  await refuse(
    { tokens, want: { kind: 'logprobs', targets: Int32Array.of(1), top: 0 } },
    'invalid_argument',
    /targets.*of 3.*of 1/,
  );
  await refuse(
    { tokens, want: { kind: 'logprobs', targets: Int32Array.of(1, -2, 3), top: 0 } },
    'token_out_of_range',
    /targets\[1\]/,
  );
  await refuse({ tokens, want: sample({ temperature: -1 }) }, 'invalid_argument', /temperature.*-1/);
  await refuse({ tokens, want: sample({ topK: 0 }) }, 'invalid_argument', /topK.*found 0/);
  await refuse({ tokens, want: sample({ topP: 1.5 }) }, 'invalid_argument', /topP.*1.5/);
  await refuse({ tokens, want: sample({ minP: -0.1 }) }, 'invalid_argument', /minP.*-0.1/);
  await refuse({ tokens, want: sample({ minP: Number.NaN }) }, 'invalid_argument', /minP.*NaN/);
  const bias = (ids: number[], biases: number[]) =>
    sample({ logitBias: { ids: Int32Array.from(ids), biases: Float32Array.from(biases) } });
  await refuse({ tokens, want: bias([1, 256], [1, 1]) }, 'token_out_of_range', /logitBias.ids\[1\].*found 256/);
  await refuse({ tokens, want: bias([1, 1], [1, 1]) }, 'invalid_argument', /logitBias.ids must not repeat/);
  await refuse(
    { tokens, want: bias([1, 2], [1]) },
    'invalid_argument',
    /logitBias.*Int32Array of 2 and Float32Array of 1/,
  );
  await refuse({ tokens, want: bias([1, 2], [1, 101]) }, 'invalid_argument', /biases\[1\].*-100 to 100, found 101/);
  await refuse({ tokens, want: bias([1], [Number.NaN]) }, 'invalid_argument', /biases\[0\].*found NaN/);
  await refuse({ tokens, want: sample({ logitBias: null }) }, 'invalid_argument', /logitBias/);
  const targets = tokens;
  for (const top of [21, -1, 1.5, Number.NaN]) {
    await refuse({ tokens, want: { kind: 'logprobs', targets, top } }, 'invalid_argument', /top must be .*0 to 20/);
    await refuse({ tokens, want: { kind: 'sample', sampling: greedy, top } }, 'invalid_argument', /top must be/);
  }
  await refuse({ tokens, want: sample({ seed: 1n << 64n }) }, 'invalid_argument', /seed/);
  await refuse({ tokens, want: sample({ penalized: Int32Array.of(999) }) }, 'token_out_of_range', /penalized\[0\]/);
  assert.equal(good.position, 0);
  assert.deepEqual(await good.snapshot(), before);
});

test('a fork and a restored snapshot go on with the same bits, and apart', async (t) => {
  const model = await load(t, 'odd-dims');
  const tokens = someTokens(50, model.info.vocabSize);
  const session = model.openSession();
  await model.step([{ session, tokens, want: nothing }]);
  const fork = session.fork();
  const snapshot = await session.snapshot();
  const restored = model.restoreSession(snapshot);
  assert.deepEqual([fork.position, restored.position], [50, 50]);

  const next = someTokens(9, model.info.vocabSize, 2);
  const expected = await lastLogits(model, session, next);
  assert.deepEqual(await lastLogits(model, fork, next), expected);
  assert.deepEqual(await lastLogits(model, restored, next), expected);
  assert.deepEqual(await restored.snapshot(), await session.snapshot());
  await lastLogits(model, fork, next);
  assert.deepEqual(await restored.snapshot(), await session.snapshot(), 'a fork shares nothing');
});

test('an item whose logits are no numbers fails alone; the others of its step get their results', async (t) => {
  const model = await load(t, 'tiny-f32');
  const tokens = someTokens(30, model.info.vocabSize);
  const snapshot = await model.openSession().snapshot();
  const broken = model.restoreSession({ ...snapshot, ssm: new Float32Array(snapshot.ssm.length).fill(Number.NaN) });
  const want: Want = { kind: 'sample', sampling: greedy, top: 0 };
  const items = [model.openSession(), broken, model.openSession()].map((session) => ({ session, tokens, want }));
  const [first, failed, last] = await model.step(items);
  const [alone] = await model.step([{ session: model.openSession(), tokens, want }]);
  assert.equal(alone?.kind, 'sample');
  assert.deepEqual([first, last], [alone, alone]);
  assert.ok(failed?.kind === 'failed' && is('engine_failure', /not finite/)(failed.error));
  assert.deepEqual(
    items.map(({ session }) => session.position),
    [30, 30, 30],
  );
});

test('what is asked of other sessions does not wait for a long step', async (t) => {
  const model = await load(t, 'tiny-bf16');
  const { vocabSize } = model.info;
  const [stepped, queued, other, closing] = Array.from({ length: 4 }, () => model.openSession());
  const short = someTokens(20, vocabSize);
  await model.step([queued, other, closing].map((session) => ({ session: session!, tokens: short, want: nothing })));
  const ended: string[] = [];
  const noting = async <T>(name: string, work: Promise<T>) => {
    const value = await work;
    ended.push(name);
    return value;
  };

  const long = noting(
    'step',
    model.step([{ session: stepped!, tokens: someTokens(20_000, vocabSize), want: nothing }]),
  );
  const own = noting('snapshot of the stepped', stepped!.snapshot());
  const next = noting('next step', model.step([{ session: queued!, tokens: short, want: nothing }]));
  const ofQueued = noting('snapshot of the queued', queued!.snapshot());
  closing!.close();
  const fresh = model.openSession();
  const forked = other!.fork();
  const snapshot = await noting('snapshot', other!.snapshot());
  const restored = model.restoreSession(snapshot);
  const same = await Promise.all([forked.snapshot(), restored.snapshot()]);
  assert.deepEqual(ended, ['snapshot']);
  assert.deepEqual(same, [snapshot, snapshot]);
  const zero = await fresh.snapshot();
  assert.ok(zero.ssm.every((x) => x === 0) && zero.conv.every((x) => x === 0));
  // Still in the long step, or this test has shown nothing.
  assert.equal(stepped!.position, 0);

  await Promise.all([long, own, next, ofQueued]);
  assert.deepEqual(ended, ['snapshot', 'step', 'snapshot of the stepped', 'next step', 'snapshot of the queued']);
  assert.deepEqual([(await own).position, (await ofQueued).position], [20_000, 40]);
});

test('a snapshot of another model, shape or type is refused', async (t) => {
  const model = await load(t, 'tiny-f32');
  const snapshot = await model.openSession().snapshot();
  const refuse = (change: Partial<Snapshot>, text: RegExp) =>
    assert.throws(() => model.restoreSession({ ...snapshot, ...change }), is('state_mismatch', text));
  refuse({ modelDigest: 'f'.repeat(64) }, /modelDigest.*found f+/);
  refuse({ conv: new Float32Array(5) }, /conv.*1152 floats, found 5/);
  refuse({ ssm: new Float32Array(5) }, /ssm.*6144 floats, found 5/);
  refuse({ position: -1 }, /position/);
  assert.equal(model.restoreSession(snapshot).position, 0);
});

test('a reused slot starts from zero', async (t) => {
  const model = await load(t, 'tiny-f32');
  const tokens = someTokens(20, model.info.vocabSize);
  const first = model.openSession();
  const expected = await lastLogits(model, first, tokens);
  first.close();
  for (let i = 0; i < 20; i += 1) {
    const session = model.openSession();
    assert.deepEqual(await lastLogits(model, session, tokens), expected);
    session.close();
  }
});

test('closed sessions and models refuse with `closed`; closing twice or during a step is safe', async () => {
  const model = await loadModel(golden('tiny-f32'), cpu);
  const tokens = someTokens(2000, model.info.vocabSize);
  const session = model.openSession();
  const other = model.openSession();
  const running = model.step([{ session, tokens, want: { kind: 'logits', positions: 'last' } }]);
  session.close();
  session.close();
  await assert.rejects(model.step([{ session, tokens, want: nothing }]), is('closed', /session is closed/));
  const later = model.step([{ session: other, tokens, want: nothing }]);
  model.close();
  model.close();
  assert.throws(() => model.openSession(), is('closed', /model is closed/));
  await assert.rejects(model.step([]), is('closed'));
  assert.equal((await running)[0]?.kind, 'logits', 'an accepted step finishes');
  assert.equal((await later)[0]?.kind, 'nothing');
  await assert.rejects(other.snapshot(), is('closed'));
  other.close();
});

test('a session of another model is refused', async (t) => {
  const a = await load(t, 'tiny-f32');
  const b = await load(t, 'tiny-f32');
  const session = b.openSession();
  await assert.rejects(a.step([{ session, tokens: Int32Array.of(1), want: nothing }]), is('invalid_argument'));
});

test('wants of every kind share a step and agree with each other', async (t) => {
  const model = await load(t, 'tiny-bf16');
  const { vocabSize } = model.info;
  const tokens = someTokens(30, vocabSize);
  const targets = Int32Array.from(tokens, (_, i) => (i % 3 === 2 ? -1 : tokens[(i + 1) % 30]!));
  const wants: Want[] = [
    { kind: 'logits', positions: 'all' },
    { kind: 'logprobs', targets, top: 0 },
    { kind: 'sample', sampling: greedy, top: 0 },
    { kind: 'logits', positions: 'last' },
    nothing,
  ];
  const results = await model.step(wants.map((want) => ({ session: model.openSession(), tokens, want })));
  const [all, scored, sampled, last, none] = results;
  assert.ok(
    all?.kind === 'logits' && scored?.kind === 'logprobs' && sampled?.kind === 'sample' && last?.kind === 'logits',
  );
  assert.deepEqual(none, { kind: 'nothing' });
  assert.equal(all.logits.length, 30 * vocabSize);
  const row = (at: number) => all.logits.subarray(at * vocabSize, (at + 1) * vocabSize);
  assert.deepEqual(row(29), last.logits);
  const logSum = (z: Float32Array) => Math.log(z.reduce((sum, x) => sum + Math.exp(x), 0));
  for (const [at, target] of targets.entries()) {
    if (target < 0) assert.ok(Number.isNaN(scored.logprobs[at]));
    else assert.ok(Math.abs(scored.logprobs[at]! - (row(at)[target]! - logSum(row(at)))) < 1e-5);
  }
  assert.equal(sampled.token, last.logits.indexOf(Math.max(...last.logits)));
  assert.ok(Math.abs(sampled.logprob - (last.logits[sampled.token]! - logSum(last.logits))) < 1e-5);
});

test('threads and instruction sets change no bit', async (t) => {
  const { isa: best } = await probeEngine();
  const outcome = async (threads: number, isa: CpuIsa) => {
    const model = await loadModelWith(golden('stress'), { ...cpu, threads, isa });
    t.after(() => model.close());
    assert.deepEqual([model.info.isa, model.info.threads], [isa, threads]);
    const session = model.openSession();
    const logits = await lastLogits(model, session, someTokens(900, model.info.vocabSize));
    return { logits, snapshot: await session.snapshot() };
  };
  const expected = await outcome(1, 'portable');
  const all = ['portable', 'avx2', 'avx512', 'avx512vnni', 'avx512bf16'] as const;
  for (const isa of all.slice(0, all.indexOf(best as (typeof all)[number]) + 1))
    for (const threads of [1, 2, 5])
      assert.deepEqual(await outcome(threads, isa), expected, `${isa}, ${threads} threads`);
});

test('the event loop turns while a long step runs', async (t) => {
  const model = await load(t, 'tiny-bf16');
  const session = model.openSession();
  let turns = 0;
  const timer = setInterval(() => (turns += 1), 1);
  await model.step([{ session, tokens: someTokens(20_000, model.info.vocabSize), want: nothing }]);
  clearInterval(timer);
  assert.ok(turns > 5, `${turns} turns`);
});

test('a worker thread loads and steps its own model, and may end in the middle of a step', async () => {
  const source = `
    import { loadModel } from ${JSON.stringify(new URL('../../native/index.ts', import.meta.url).href)};
    import { parentPort } from 'node:worker_threads';
    const model = await loadModel(${JSON.stringify(golden('tiny-bf16'))}, ${JSON.stringify(cpu)});
    const session = model.openSession();
    const want = { kind: 'nothing' };
    await model.step([{ session, tokens: Int32Array.of(1, 2, 3), want }]);
    void model.step([{ session, tokens: new Int32Array(3_000_000), want }]);
    parentPort.postMessage(session.position);`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
  const position = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  assert.equal(position, 3);
  const started = performance.now();
  await worker.terminate();
  assert.ok(performance.now() - started < 5000, 'the step was cut short');
});
