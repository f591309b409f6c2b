import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '@longhaul/core/contracts';
import { ProcessLauncher } from '../../infra/controller/scaling/launchers/process.ts';
import type { StartRequest } from '../../infra/controller/scaling/port.ts';
import { waitFor } from '../support/cluster.ts';

/** Says that it began, and ends when it is told how. */
const script = `
printf '%s %s\\n' "$LONGHAUL_WORKER_ID" "$MODEL" >> "$OUT/began"
while [ ! -e "$OUT/end" ]; do sleep 0.05; done
cat "$OUT/end"
`;

async function setUp(t: TestContext, command = ['/bin/sh', '-c', script]) {
  const out = await mkdtemp(path.join(tmpdir(), 'longhaul-launcher-'));
  const dir = path.join(out, 'workers');
  const envOf = (model: string) => ({ PATH: process.env['PATH'], OUT: out, MODEL: model });
  const launcher = () => new ProcessLauncher({ dir, command, envOf, clock: systemClock });
  const end = (lastWords: string) => writeFile(path.join(out, 'end'), `${lastWords}\n`);
  // A worker says that it began some time after it was started: there may be nothing yet.
  const began = async () => {
    const said = await readFile(path.join(out, 'began'), 'utf8').catch(() => '');
    return said.split('\n').slice(0, -1).sort();
  };
  const zero = () =>
    waitFor(
      async () => ((await launcher().list('m')).length === 0 ? true : null),
      30_000,
      () => 'the workers to end',
    );
  t.after(async () => {
    await end('cleared away');
    await zero();
    await rm(out, { recursive: true });
  });
  return { dir, launcher, end, began, zero };
}

const asks = (more: Partial<StartRequest> = {}): StartRequest => ({
  ...{ model: 'm', market: 'spot', count: 2, token: 'token-1' },
  ...more,
});

test('several launchers that start one token start its workers once, and any of them finds them', async (t) => {
  const { launcher, began } = await setUp(t);
  const outcomes = await Promise.all(Array.from({ length: 4 }, () => launcher().start(asks())));
  const ids = outcomes[0]!.started.map(({ id }) => id);
  for (const { started, refused } of outcomes) {
    assert.equal(refused, null);
    assert.deepEqual(
      started.map(({ id }) => id),
      ids,
    );
  }
  await launcher().start(asks({ token: 'token-2', count: 1, model: 'n' }));
  const all = await waitFor(
    async () => ((await began()).length >= 3 ? await began() : null),
    30_000,
    () => 'three workers to begin',
  );
  assert.equal(all.length, 3);
  assert.deepEqual(
    all.filter((line) => line.endsWith(' m')),
    ids.map((id) => `${id} m`).sort(),
  );
  const listed = await launcher().list('m');
  assert.deepEqual(
    listed.map(({ id, state, market }) => [id, state, market]),
    [...ids].sort().map((id) => [id, 'running', 'spot']),
  );
  assert.deepEqual(await launcher().ended(listed), []);
});

test('a worker that ended says how by its last line; the same token again starts it no second time', async (t) => {
  const { launcher, began, end, zero } = await setUp(t);
  const { started } = await launcher().start(asks({ count: 1 }));
  await end('{"level":"info","code":0,"msg":"stopped"}');
  await zero();
  const [fine] = await launcher().ended([...started, { id: 'worker-0000000000000000', model: 'm' }]);
  assert.deepEqual([fine?.id, fine?.failure], [started[0]?.id, null]);
  assert.ok(Math.abs(Date.now() - fine!.endedAt!) < 60_000);
  assert.equal((await launcher().start(asks({ count: 1 }))).started.length, 1);
  assert.equal((await began()).length, 1);

  await end('longhaul: model_not_found: there is no model x');
  const broken = await launcher().start(asks({ count: 1, token: 'token-2' }));
  await zero();
  const [failed] = await launcher().ended(broken.started);
  assert.deepEqual(failed?.failure, { kind: 'broken', words: 'longhaul: model_not_found: there is no model x' });
});

test('a process id that belongs to another process by now is not a worker', async (t) => {
  const { dir, launcher, end, zero } = await setUp(t);
  await launcher().start(asks({ count: 1 }));
  await end('');
  await zero();
  const [file] = (await readdir(dir)).filter((name) => name.endsWith('.json'));
  const claim = JSON.parse(await readFile(path.join(dir, file!), 'utf8'));
  await writeFile(path.join(dir, file!), JSON.stringify({ ...claim, pid: process.pid }));
  assert.deepEqual(await launcher().list('m'), []);
});

test('a claim that lost its bytes with the power of the machine hides no other worker', async (t) => {
  const { dir, launcher } = await setUp(t);
  const { started } = await launcher().start(asks({ count: 1 }));
  for (const [name, bytes] of [
    ['worker-0000000000000001', ''],
    ['worker-0000000000000002', '{"model":"m"}'],
  ] as const) {
    await writeFile(path.join(dir, `${name}.json`), bytes);
  }
  const listed = await launcher().list('m');
  assert.deepEqual(
    listed.map(({ id }) => id),
    started.map(({ id }) => id),
  );
  assert.deepEqual(await launcher().ended([{ id: 'worker-0000000000000001', model: 'm' }]), []);
});

test('a command that cannot be run ends at once, and is told as broken', async (t) => {
  const { launcher, zero } = await setUp(t, ['/nowhere/longhaul-worker']);
  const { started, refused } = await launcher().start(asks({ count: 1 }));
  assert.deepEqual([started.length, refused], [1, null]);
  await zero();
  assert.match((await launcher().ended(started))[0]!.failure!.words, /\/nowhere\/longhaul-worker/);
});
