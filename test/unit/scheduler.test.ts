// Many documents, one engine: what the scheduler puts into a step, on a machine that is simulated.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Session, Want } from '@longhaul/native';
import { Scheduler } from '../../worker/scheduler/scheduler.ts';
import { type Cost, SimulatedModel } from '../support/simulated-model.ts';

const nothing = { kind: 'nothing' } as const;
const sample = { kind: 'sample', sampling: {}, top: 0 } as unknown as Want;
const grain = 8;

function simulate(cost: Cost, budgetTokens = 2052): { model: SimulatedModel; scheduler: Scheduler } {
  const model = new SimulatedModel(cost);
  return {
    model,
    scheduler: new Scheduler(model, {
      clock: model.clock,
      budgetTokens,
      streamingTokens: 128,
      grainTokens: grain,
      headWork: 0.5,
    }),
  };
}

/** One pass over the weights, or the arithmetic where that takes longer. */
const machine =
  (passMs: number, tokenMs: number): Cost =>
  (rows) =>
    Math.max(passMs, rows * tokenMs) + 0.1 * passMs;

const steady: Readonly<Record<string, Cost>> = {
  'a tiny model': machine(0.1, 0.025),
  '130M': machine(6.5, 0.5),
  '790M, bf16': machine(45, 3.9),
  '790M, f32': machine(85, 8),
};
const unsteady: Readonly<Record<string, Cost>> = {
  'twice as slow every seventh step': (rows, step) => machine(30, 2)(rows, step) * (step % 7 === 3 ? 2 : 1),
  'twice as slow from some step on': (rows, step) => machine(20, 1)(rows, step) * (step > 40 ? 2 : 1),
};

const prefill = (scheduler: Scheduler, session: Session, tokens: number, want: Want = nothing) =>
  scheduler.step(session, new Int32Array(tokens), want, 'prefill');
const decode = (scheduler: Scheduler, session: Session) => scheduler.step(session, Int32Array.of(1), sample, 'decode');

/** A job that reads chunk after chunk until `stop`. */
async function read(scheduler: Scheduler, session: Session, chunks: number, chunk = 2048): Promise<void> {
  for (let i = 0; i < chunks; i++) await prefill(scheduler, session, chunk);
}

for (const [name, cost] of Object.entries({ ...steady, ...unsteady })) {
  test(`${name}: a stream waits at most 150 ms for its next token while documents are read`, async () => {
    const { model, scheduler } = simulate(cost);
    let reading = true;
    const documents = Promise.all([
      read(scheduler, model.open('a'), 4),
      read(scheduler, model.open('b'), 4),
      prefill(scheduler, model.open('short'), 50),
    ]).then(() => {
      reading = false;
    });
    // The stream starts in the middle: its own prompt is read, and from its first token on it waits for no one long.
    while (model.steps.length < 5) await new Promise((resolve) => setImmediate(resolve));
    const stream = model.open('stream');
    await prefill(scheduler, stream, 30, sample);
    const gaps: number[] = [];
    for (let last = model.clock.ms; reading; last = model.clock.ms) {
      await decode(scheduler, stream);
      gaps.push(model.clock.ms - last);
    }
    await documents;
    assert.ok(Math.max(...gaps) <= 150, `${gaps.length} gaps, the longest ${Math.max(...gaps)} ms`);
    assert.ok(gaps.length > 3, `only ${gaps.length} tokens`);
  });
}

for (const [name, cost] of Object.entries(steady)) {
  test(`${name}: where no one generates, no step is longer than 250 ms, at 90 % of the best throughput or more`, async () => {
    const { model, scheduler } = simulate(cost);
    await Promise.all(['a', 'b', 'c'].map((document) => read(scheduler, model.open(document), 4)));
    const longest = Math.max(...model.steps.map(({ startMs, endMs }) => endMs - startMs));
    // The least that a step reads is more than 250 ms of the slowest machine.
    assert.ok(longest <= Math.max(250, cost(32, 0)) + 1e-9, `${longest} ms`);
    const best = (3 * 4 * cost(2048, 0)) / model.clock.ms;
    assert.ok(best > 0.9, `${(100 * best).toFixed(0)} % of the best`);
  });
}

test('where no one generates and the machine is fast, chunks run whole', async () => {
  const { model, scheduler } = simulate(machine(0.1, 0.025));
  await read(scheduler, model.open('a'), 6);
  assert.deepEqual(
    model.steps.slice(-3).map(({ items }) => items),
    [['a:2048'], ['a:2048'], ['a:2048']],
  );
});

test('beside a stream, reading keeps most of its speed', async () => {
  const { model, scheduler } = simulate(steady['790M, bf16']!);
  let reading = true;
  const document = read(scheduler, model.open('a'), 2).then(() => {
    reading = false;
  });
  const stream = model.open('stream');
  while (reading) await decode(scheduler, stream);
  await document;
  const rate = (4096 * 1000) / model.clock.ms;
  assert.ok(rate > 0.6 * (1000 / 3.9), `${rate.toFixed(0)} tokens/s`);
});

test('decode comes first, and prefill gets its share of every step however many streams there are', async () => {
  const { model, scheduler } = simulate(machine(40, 4));
  const writing = Array.from({ length: 60 }, (_, i) => model.open(`stream${i}`));
  let reading = true;
  const streams = writing.map(async (stream) => {
    while (reading) await decode(scheduler, stream);
  });
  await read(scheduler, model.open('a'), 1, 200);
  reading = false;
  await Promise.all(streams);
  const full = model.steps.filter(({ items }) => items.some((item) => item.startsWith('a:')));
  assert.ok(full.length <= 200 / grain + 1, `read in ${full.length} steps`);
  for (const { items } of full.slice(1))
    assert.equal(
      items.findIndex((item) => item.startsWith('a:')),
      60,
    );
});

test('a question among long documents is read at half of the whole speed or more, and the documents go on', async () => {
  const { model, scheduler } = simulate(machine(45, 4));
  const names = Array.from({ length: 6 }, (_, i) => `long${i}`);
  let reading = true;
  const long = names.map(async (name) => {
    const session = model.open(name);
    while (reading) await prefill(scheduler, session, 2048);
  });
  while (model.clock.ms < 3000) await new Promise((resolve) => setImmediate(resolve));
  const from = model.steps.length;
  // One question after the other: they may not keep the documents out.
  for (let i = 0; i < 10; i++) {
    const began = model.clock.ms;
    await prefill(scheduler, model.open(`short${i}`), 200);
    const waited = model.clock.ms - began;
    assert.ok(waited < 2 * 200 * 4 + 600, `${waited} ms for ${200 * 4} ms of work`);
  }
  const steps = model.steps.slice(from);
  const readOf = (name: string) =>
    steps.flatMap(({ items }) => items.filter((item) => item.startsWith(`${name}:`))).length;
  for (const name of names)
    assert.ok(readOf(name) >= steps.length / 2 / (names.length + 1) - 1, `${name}: ${readOf(name)} of ${steps.length}`);
  reading = false;
  await Promise.all(long);
});

test('documents that are read side by side go on at the same speed', async () => {
  const { model, scheduler } = simulate(machine(45, 4));
  const names = ['a', 'b', 'c', 'd'];
  const sessions = names.map((name) => model.open(name));
  let reading = true;
  const jobs = sessions.map(async (session) => {
    while (reading) await prefill(scheduler, session, 2048);
  });
  while (model.clock.ms < 100_000) await new Promise((resolve) => setImmediate(resolve));
  const positions = sessions.map(({ position }) => position);
  assert.ok(Math.max(...positions) - Math.min(...positions) <= 2 * 2048, `${positions}`);
  reading = false;
  await Promise.all(jobs);
});

test('a cut chunk gives what it gives uncut', async () => {
  const { model, scheduler } = simulate(machine(40, 5));
  const tokens = Int32Array.from({ length: 300 }, (_, i) => i);
  const targets = tokens.map((token) => token + 1);
  const wants: Want[] = [
    { kind: 'logprobs', targets, top: 3 },
    { kind: 'logits', positions: 'all' },
    { kind: 'logits', positions: 'last' },
    sample,
    nothing,
  ];
  const results = await Promise.all(
    wants.map((want, i) => scheduler.step(model.open(`s${i}`), tokens, want, 'prefill')),
  );
  const alone = new SimulatedModel();
  assert.deepEqual(results, await alone.step(wants.map((want, i) => ({ session: alone.open(`s${i}`), tokens, want }))));
  for (const i of wants.keys()) {
    const pieces = model.steps.flatMap(({ items }) => items.filter((item) => item.startsWith(`s${i}:`)));
    assert.ok(pieces.length > 3, `${pieces}`);
    assert.ok(
      pieces.slice(0, -1).every((piece) => Number(piece.split(':')[1]) % grain === 0),
      `${pieces}`,
    );
  }
});

test('what a session waits for runs in order, though its chunk is cut', async () => {
  const { model, scheduler } = simulate(machine(40, 5));
  const session = model.open('s');
  const order: string[] = [];
  await Promise.all([
    prefill(scheduler, session, 300).then(() => order.push('chunk')),
    prefill(scheduler, session, 10).then(() => order.push('tail')),
    decode(scheduler, session).then(() => order.push('token')),
    prefill(scheduler, model.open('other'), 300),
  ]);
  assert.deepEqual(order, ['chunk', 'tail', 'token']);
});

test('a refused item rejects alone; the others of its batch get their results', async () => {
  const { model, scheduler } = simulate(() => 1);
  const ends = await Promise.allSettled([
    prefill(scheduler, model.open('good'), 2),
    prefill(scheduler, model.open('refused'), 2),
    prefill(scheduler, model.open('failing'), 2, sample),
    prefill(scheduler, model.open('another'), 2, sample),
    scheduler.step(model.open('empty'), new Int32Array(0), nothing, 'prefill'),
    scheduler.step(
      model.open('long targets'),
      new Int32Array(40),
      { kind: 'logprobs', targets: new Int32Array(41), top: 0 },
      'prefill',
    ),
  ]);
  assert.deepEqual(
    ends.map((end) => (end.status === 'rejected' ? String(end.reason) : 'done')),
    ['done', 'Error: refused', 'Error: no number', 'done', 'Error: no tokens', 'Error: targets do not fit'],
  );
  // And the scheduler goes on.
  await decode(scheduler, model.open('good'));
});
