import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Engine } from '../../worker/ports.ts';
import { imageMs } from '../../worker/start/placement.ts';
import { StartReport } from '../../worker/start/report.ts';
import { startMetadataServer } from '../support/metadata-server.ts';

function report() {
  let now = 400.4;
  const lines: [string, Record<string, unknown>][] = [];
  const made = new StartReport(
    () => now,
    (_level, message, fields) => void lines.push([message, { ...fields }]),
  );
  const pass = (ms: number) => {
    now += ms;
  };
  return { made, lines, pass };
}

const arrival = {
  ...({ how: 'pulled', bytes: 1000, fetchedBytes: 900 } as const),
  ...{ foundMs: 10.2, fetchedMs: 1500.6, verifiedMs: 1600, loadedMs: 1700, gigabytesPerSecond: 0.588 },
};

test('a start is told once jobs are taken, each phase from its own beginning', async () => {
  const { made, lines, pass } = report();
  made.loading();
  pass(1700);
  made.loaded(arrival);
  pass(299.6);
  assert.equal(made.start, null);
  made.ready({ model: 'm' }, Promise.resolve(2500));
  await new Promise((resolve) => setImmediate(resolve));
  const phases = { imageMs: 2500, runtimeMs: 400, weightsMs: 1700, readyMs: 2400 };
  assert.deepEqual(made.start, { ...phases, how: 'pulled', bytes: 1000, fetchedBytes: 900 });
  const weights = { ...arrival, foundMs: 10, fetchedMs: 1501 };
  assert.deepEqual(lines, [['started', { model: 'm', ...phases, weights }]]);
});

test('the first step is told once, and later ones are the engine’s own', async () => {
  const { made, lines, pass } = report();
  let steps = 0;
  const engine = {
    step: async () => {
      steps += 1;
      pass(30);
      return { kind: 'nothing' as const };
    },
  } as unknown as Engine;
  const watched = made.watched(engine);
  const step = () => watched.step({} as never, new Int32Array(1), { kind: 'nothing' }, 'prefill');
  await Promise.all([step(), step()]);
  await step();
  assert.equal(steps, 3);
  assert.deepEqual(
    lines.map(([message]) => message),
    ['first step'],
  );
  assert.equal(watched.step, engine.step);
});

test('a step that fails is not the first one', async () => {
  const { made, lines } = report();
  let fails = true;
  const step = async () => {
    if (fails) throw new Error('no');
    return { kind: 'nothing' };
  };
  const watched = made.watched({ step } as unknown as Engine);
  const run = () => watched.step({} as never, new Int32Array(1), { kind: 'nothing' }, 'decode');
  await assert.rejects(run());
  assert.equal(lines.length, 0);
  fails = false;
  await run();
  assert.equal(lines.length, 1);
});

test('ECS tells how long the image took; where it does not, nothing is told', async (t) => {
  const agent = await startMetadataServer();
  t.after(() => agent.close());
  const says = (task: object) => agent.set('/v4/x/task', { body: JSON.stringify(task) });
  const base = `${agent.url}/v4/x`;
  says({ PullStartedAt: '2026-11-30T02:00:00.250Z', PullStoppedAt: '2026-11-30T02:00:13.750Z' });
  assert.equal(await imageMs(base), 13_500);
  says({ PullStartedAt: '2026-11-30T02:00:00Z' });
  assert.equal(await imageMs(base), null);
  says({ PullStartedAt: 'yesterday' });
  assert.equal(await imageMs(base), null);
  assert.equal(await imageMs(`${base}/none`), null);
  assert.equal(await imageMs(undefined), null);
});
