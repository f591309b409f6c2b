import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { Cluster, models } from '../support/cluster.ts';
import { letters } from './committed-work.ts';
import { assertSame, scoreTask, truth } from './shared.ts';

const runFile = promisify(execFile);

test('a copy of the store and an empty Redis are enough: the job ends elsewhere with the same bytes', async (t) => {
  const env = { LONGHAUL_COMMIT_SECONDS: '0.2', LONGHAUL_LOCK_MS: '4000' };
  const lost = await Cluster.start({ model: models.induction, env });
  t.after(() => lost.close());
  const text = letters(1_000_000);
  await lost.submitText('restored-1', text, scoreTask);
  const worker = await lost.startWorker('lost');
  await lost.head('restored-1', (head) => head.seq >= 2);
  await worker.stop('SIGKILL');
  await lost.redis.kill9();
  const { seq } = await lost.head('restored-1', () => true);

  const copy = path.join(lost.dir, 'copy');
  await runFile('cp', ['-a', fileURLToPath(lost.store.url), copy]);
  const store = { url: pathToFileURL(copy).href, options: {}, env: {} };
  const restored = await Cluster.start({ model: models.induction, store, env });
  t.after(() => restored.close());
  await restored.startController();
  await restored.startWorker('restored');
  const result = await restored.result('restored-1', 300_000);
  await assertSame(restored, 'restored-1', result, await truth(restored, models.induction, text, scoreTask));
  assert.equal(result.stats.attempts, 2);
  const left = await lost.head('restored-1', () => true);
  assert.equal(left.seq, seq, 'nobody touched the original');
});
