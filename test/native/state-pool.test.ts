// The slots of many sessions: reused, cleared, bounded, and refused cleanly where memory ends.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { greedy, loadModel, type Model, type Session, type StepItem } from '../../native/index.ts';
import { assertSameAlone, type Reading } from '../support/alone.ts';
import { cpu, load, someTokens } from './fixture.ts';

const tinyEnglish = fileURLToPath(new URL('../../models/tiny-english', import.meta.url));
const isZero = (values: Float32Array) => values.every((value) => value === 0);

test('300 sessions at once: each reads as if alone, and slots that are used again start from zero', async (t) => {
  const model = await load(t, 'odd-dims');
  const alone = await load(t, 'odd-dims');
  const { vocabSize } = model.info;
  let opened = 0;
  const open = () => ({
    name: `session ${opened++}`,
    session: model.openSession(),
    readings: [] as Reading[],
    snapshots: [],
  });
  type Live = ReturnType<typeof open>;
  const step = async (lives: readonly Live[], round: number) => {
    const items = lives.map((live, i): StepItem => {
      const length = (i + round) % 7 === 0 ? 20 + (i % 30) : 1;
      const want = {
        kind: 'sample',
        sampling: { ...greedy, temperature: 1, seed: BigInt(i), position: round },
        top: 0,
      } as const;
      return { session: live.session, tokens: someTokens(length, vocabSize, i * 100 + round), want };
    });
    const stepping = model.step(items);
    for (const [i, live] of lives.entries())
      live.readings.push({ ...items[i]!, result: stepping.then((results) => results[i]!) });
    await stepping;
  };
  const shuffled = <T>(list: readonly T[]) =>
    list
      .map((x, i) => [(i * 7919) % 1009, x] as const)
      .sort((a, b) => a[0] - b[0])
      .map(([, x]) => x);

  let lives = Array.from({ length: 300 }, open);
  const ended: Live[] = [];
  for (let round = 0; round < 6; round++) {
    await step(shuffled(lives), round);
    const [gone, stay] = [shuffled(lives).slice(0, 130), shuffled(lives).slice(130)];
    for (const { session } of gone) session.close();
    ended.push(...gone);
    const fresh = Array.from({ length: 130 }, open);
    for (const { session } of fresh.slice(0, 20)) {
      const { conv, ssm } = await session.snapshot();
      assert.ok(isZero(conv) && isZero(ssm), 'a session opened in a used slot starts from zero');
    }
    lives = [...stay, ...fresh];
  }
  for (const live of [...ended, ...lives]) await assertSameAlone(alone, live);
});

test('memory is bounded by the sessions that are open at once, not by those that ever were', async (t) => {
  const model = await loadModel(tinyEnglish, cpu);
  t.after(() => model.close());
  const count = 200;
  const cycle = async (model: Model) => {
    const sessions: Session[] = Array.from({ length: count }, () => model.openSession());
    const tokens = Int32Array.of(1);
    await model.step(sessions.map((session) => ({ session, tokens, want: { kind: 'nothing' } })));
    for (const session of sessions.slice(1)) session.close();
    await sessions[0]!.snapshot();
    sessions[0]!.close();
    return process.memoryUsage().rss;
  };
  for (let i = 0; i < 3; i++) await cycle(model);
  const before = await cycle(model);
  let after = 0;
  for (let i = 0; i < 8; i++) after = await cycle(model);
  const grown = (after - before) / 2 ** 20;
  const ofOneCycle = (count * model.info.stateBytes) / 2 ** 20;
  assert.ok(
    grown < ofOneCycle / 2,
    `grew by ${grown.toFixed(1)} MiB in 8 cycles; the states of one are ${ofOneCycle.toFixed(1)} MiB`,
  );
});

const prlimit = spawnSync('prlimit', ['--version']).status === 0;
const skip = prlimit ? false : 'needs prlimit, of util-linux';
test('where memory ends, a session is refused with `out_of_memory`, and the others go on', { skip }, () => {
  const script = fileURLToPath(new URL('../support/out-of-memory.ts', import.meta.url));
  const child = spawnSync(process.execPath, [script, tinyEnglish, '200'], { encoding: 'utf8' });
  assert.equal(child.status, 0, child.stderr);
  const { refused, opened, whileFull, same } = JSON.parse(child.stdout);
  assert.deepEqual(
    { refused, whileFull, same },
    {
      refused: 'out_of_memory',
      whileFull: { open: 'out_of_memory', fork: 'out_of_memory', restore: 'out_of_memory' },
      same: true,
    },
  );
  assert.ok(opened > 100, `${opened} sessions of 0.2 MB in 200 MB`);
});
