// Run by test/native/state-pool.test.ts: opens sessions under a limit on this process's memory until there is none left.
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { loadModel, type Session } from '@longhaul/native';

const [dir, headroomMb] = process.argv.slice(2);
const model = await loadModel(dir!, {
  device: 'cpu',
  weights: 'as-stored',
  activations: 'f32',
  threads: 1,
  slots: null,
});
const tokens = Int32Array.from({ length: 40 }, (_, i) => (i * 37) % model.info.vocabSize);
const want = { kind: 'logits', positions: 'last' } as const;
const read = async (session: Session) => {
  const [result] = await model.step([{ session, tokens, want }]);
  return result?.kind === 'logits'
    ? Buffer.from(result.logits.buffer).toString('base64')
    : `no logits but ${result?.kind}`;
};
const codeOf = (body: () => unknown) => {
  try {
    body();
    return null;
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
};

const first = model.openSession();
const expected = await read(first);
const snapshot = await model.openSession().snapshot();
const pages = Number((await readFile('/proc/self/statm', 'utf8')).split(' ')[0]);
const limit = pages * 4096 + Number(headroomMb) * 2 ** 20;
const limited = spawnSync('prlimit', ['--pid', String(process.pid), `--as=${limit}`], { encoding: 'utf8' });
if (limited.status !== 0) throw new Error(`prlimit: ${limited.error?.message ?? limited.stderr}`);

const open: Session[] = [];
let refused: unknown = null;
while (refused === null && open.length < 100_000) refused = codeOf(() => open.push(model.openSession()));
const opened = open.length;
const whileFull = {
  open: codeOf(() => model.openSession()),
  fork: codeOf(() => first.fork()),
  restore: codeOf(() => model.restoreSession(snapshot)),
};
const last = await read(open.at(-1)!);
for (const session of open.splice(0, opened / 2)) session.close();
// Closing is queued; a snapshot waits for its turn behind it.
await open.at(-1)!.snapshot();
const again = await read(model.openSession());
process.stdout.write(JSON.stringify({ refused, opened, whileFull, same: last === expected && again === expected }));
